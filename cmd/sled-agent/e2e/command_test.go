package e2e

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// output is what a program that has ended has left.
type output struct {
	stdout, stderr string
	status         int
}

// execute runs the program to its end.
func execute(t *testing.T, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(trial.Bounded(t, trial.Patience), trial.Path("sled-agent"), args...)
	cmd.Env = environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// A configuration that cannot be used is refused in one line that names the file,
// the key and the reason, with the exit status that SMF knows.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, key string }{
		"no TOML":            {"state_dir = ", "line 1"},
		"an unknown key":     {"state_dir = \"/tmp/x\"\n[watchdog]\nstop_grease = \"1s\"\n", "watchdog.stop_grease"},
		"an unknown section": {"state_dir = \"/tmp/x\"\n[watchcat]\n", "watchcat"},
		"a bad duration":     {"state_dir = \"/tmp/x\"\n[watchdog]\nstop_grace = \"soon\"\n", "watchdog.stop_grace"},
		"a negative grace":   {"state_dir = \"/tmp/x\"\n[watchdog]\nstop_grace = \"-1s\"\n", "watchdog.stop_grace"},
		"a number for it":    {"state_dir = \"/tmp/x\"\n[watchdog]\nstop_grace = 10\n", "watchdog.stop_grace"},
		"a bad address":      {"state_dir = \"/tmp/x\"\n[api]\nlisten = \"nowhere\"\n", "api.listen"},
		"a bad sled id":      {"state_dir = \"/tmp/x\"\nsled_id = \"7\"\n", "sled_id"},
		"a bad backend":      {"state_dir = \"/tmp/x\"\n[zones]\nbackend = \"docker\"\n", "zones.backend"},
		"a bad Nexus":        {"state_dir = \"/tmp/x\"\n[nexus]\naddresses = [\"ftp://x\"]\n", "nexus.addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "bad.toml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"run", "check"} {
				got := execute(t, command, "--config", file)
				if got.status != 96 || strings.Count(got.stderr, "\n") != 1 {
					t.Errorf("%s: status %d, want 96, and one line: %q", command, got.status, got.stderr)
				}
				if !strings.Contains(got.stderr, file) || !strings.Contains(got.stderr, c.key) {
					t.Errorf("%s names not the file or not the key %s: %q", command, c.key, got.stderr)
				}
			}
		})
	}
}

func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "absent.toml")
	if got := execute(t, "run", "--config", file); got.status != 96 || !strings.Contains(got.stderr, file) {
		t.Errorf("status %d, %q", got.status, got.stderr)
	}
}

// What check prints is a configuration, the effective one.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeConfig(t, dir, setup{watchdog: section{"stop_grace": "90s"}}.config(dir, "http://127.0.0.1:1", &processGround{dir, nil}))
	got := execute(t, "check", "--config", file)
	if got.status != 0 || got.stderr != "" {
		t.Fatalf("status %d, %q", got.status, got.stderr)
	}
	var all struct {
		Watchdog struct {
			StopGrace    string `toml:"stop_grace"`
			StartTimeout string `toml:"start_timeout"`
		}
	}
	if _, err := toml.Decode(got.stdout, &all); err != nil {
		t.Fatal(err)
	}
	if all.Watchdog.StopGrace != "1m30s" || all.Watchdog.StartTimeout != "15m0s" && all.Watchdog.StartTimeout != "15m" {
		t.Errorf("the effective configuration has %+v", all.Watchdog)
	}
	if left := entries(dir); len(left) != 1 {
		t.Errorf("check has made something: %q", left)
	}
	again := filepath.Join(dir, "again.toml")
	if err := os.WriteFile(again, []byte(got.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if second := execute(t, "check", "--config", again); second.stdout != got.stdout {
		t.Errorf("what check prints is not what it reads: %q and then %q", got.stdout, second.stdout)
	}
}

// A start that cannot succeed now has the status of a fatal error.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	c := setup{}.config(dir, "", &processGround{dir, nil})
	c["api"] = section{"listen": taken.Addr().String()}
	got := execute(t, "run", "--config", writeConfig(t, dir, c))
	if got.status != 95 || !strings.Contains(got.stderr, taken.Addr().String()) {
		t.Errorf("status %d, want 95 and the address: %q", got.status, got.stderr)
	}
}

// A second agent on the same directory is refused and harms nothing.
func TestSecondAgent(t *testing.T) {
	l := newSled(t, setup{})
	v := l.launch()
	if got := execute(t, "run", "--config", l.config); got.status != 95 {
		t.Errorf("status %d, want 95: %q", got.status, got.stderr)
	}
	if _, err := l.admin.About(trial.Bounded(t, trial.Patience)); err != nil {
		t.Errorf("after a second agent's start: %v", err)
	}
	v.state().wants(t, 200)
	s := v.stop(0)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// The agent's end is not the VMs' (R).
func TestTerminationLeavesVMsRunning(t *testing.T) {
	sees(t)
	l := newSled(t, setup{})
	v := l.launch()
	before := processes(v.id.String())
	l.terminate()
	l.soundLog()
	if after := processes(v.id.String()); len(after) != len(before) || len(after) == 0 {
		t.Errorf("the zone's processes were %v and are %v", before, after)
	}
	v.lies() // The server still answers.
	if row, _ := l.nexus.Row(v.id); row.State().Terminal() {
		t.Errorf("Nexus was told an end: %s", describe(row))
	}
	l.abandon()
}

// abandon kills what the agent has left running, which has ended for good.
func (l *sled) abandon() {
	l.past.stop()
	l.ground.end(l.t)
	l.ended = true
}

// The admin socket and the state directory are their owner's alone.
func TestPrivateFiles(t *testing.T) {
	l := newSled(t, setup{})
	for path, want := range map[string]os.FileMode{l.stateDir(): 0o700, filepath.Join(l.stateDir(), "admin.sock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	about, err := l.admin.About(trial.Bounded(t, trial.Patience))
	if err != nil || about.PID != l.pid() || about.API != "http://"+l.addr {
		t.Errorf("the agent says of itself: %+v, %v", about, err)
	}
	l.terminate()
	if _, err := l.admin.About(trial.Bounded(t, trial.Patience)); !errors.As(err, new(*admin.NoAgentError)) {
		t.Errorf("after the agent's end its socket says: %v", err)
	}
	l.past.stop()
	l.ended = true
}
