package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/sledagent/sledagent/agent/admin"
)

// output is the output of a program that has ended.
type output struct {
	stdout, stderr string
	status         int
}

// execute runs the program to its end.
func execute(t *testing.T, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(bounded(t), program("sled-agent"), args...)
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

// An invalid configuration is refused in one line that names the file, the key and the reason, with
// SMF's exit status for it.
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
			must(t, os.WriteFile(file, []byte(c.text), 0o600))
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

// check prints the effective configuration, which is itself valid.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeConfig(t, dir, setup{watchdog: section{"stop_grace": "90s"}}.config(dir, "127.0.0.1:0", "http://127.0.0.1:1", &processBackend{dir, nil}))
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
	if err := toml.Unmarshal([]byte(got.stdout), &all); err != nil {
		t.Fatal(err)
	}
	if all.Watchdog.StopGrace != "1m30s" || all.Watchdog.StartTimeout != "15m0s" && all.Watchdog.StartTimeout != "15m" {
		t.Errorf("the effective configuration has %+v", all.Watchdog)
	}
	if left := entries(dir); len(left) != 1 {
		t.Errorf("check has made something: %q", left)
	}
	again := filepath.Join(dir, "again.toml")
	must(t, os.WriteFile(again, []byte(got.stdout), 0o600))
	if second := execute(t, "check", "--config", again); second.stdout != got.stdout {
		t.Errorf("what check prints is not what it reads: %q and then %q", got.stdout, second.stdout)
	}
}

// check --host finds nothing wrong with a host that an agent runs on, and an address in use where
// none does.
func TestCheckHost(t *testing.T) {
	h, onIllumos := newHarness(t, setup{}), backendName == "illumos"
	type result struct{ Name, Level, Detail, Cure string }
	check := func(file string) (byName map[string]result, status int) {
		got := execute(t, "check", "--config", file, "--host", "-o", "json")
		var all []result
		if err := json.Unmarshal([]byte(got.stdout), &all); err != nil {
			t.Fatalf("%v in %s %s", err, got.stdout, got.stderr)
		}
		byName = map[string]result{}
		for _, r := range all {
			byName[r.Name] = r
			if r.Level != "ok" && r.Cure == "" {
				t.Errorf("no cure for %+v", r)
			}
		}
		return byName, got.status
	}
	all, status := check(h.configFile())
	for name, r := range all {
		if r.Level == "error" && (!onIllumos || !strings.HasPrefix(name, "zones.illumos.")) { // the stand-in has commands only
			t.Errorf("%+v", r)
		}
	}
	if want := map[bool]int{false: 0, true: 95}[onIllumos]; status != want {
		t.Errorf("status %d, want %d", status, want)
	}
	if r := all["zones link class"]; onIllumos && r.Level != "ok" {
		t.Errorf("the link is not checked: %+v", all)
	}
	text, err := os.ReadFile(h.configFile())
	must(t, err)
	dir := t.TempDir()
	other := regexp.MustCompile(`(?m)^(state_dir|socket) = .*$`).ReplaceAllString(string(text), "")
	other = regexp.MustCompile(`(?m)^listen = .*$`).ReplaceAllString(other, "listen = '"+strings.TrimPrefix(h.about().API, "http://")+"'")
	file := filepath.Join(dir, "other.toml")
	must(t, os.WriteFile(file, []byte("state_dir = '"+dir+"/state'\n"+other), 0o600))
	all, status = check(file)
	if r := all["api.listen"]; status != 95 || r.Level != "error" || !strings.Contains(r.Detail, "in use") {
		t.Errorf("status %d; another agent's address: %+v", status, r)
	}
	if left := entries(dir); len(left) != 1 {
		t.Errorf("check has made something: %q", left)
	}
}

// A second agent on the same directory is refused and has no effect.
func TestSecondAgent(t *testing.T) {
	h := newHarness(t, setup{})
	v := h.launch()
	if got := execute(t, "run", "--config", h.configFile()); got.status != 95 {
		t.Errorf("status %d, want 95: %q", got.status, got.stderr)
	}
	h.about()
	v.record()
	v.stopsAtDeadline(0)
}

// The admin socket and the state directory are accessible only to their owner, and the agent logs
// where it listens if the port is 0.
func TestPrivateFiles(t *testing.T) {
	h := newHarness(t, setup{manual: true})
	h.table("api")["listen"] = "127.0.0.1:0"
	a := h.spawn()
	waitFor(t, func() string {
		about, err := h.admin.About(bounded(t))
		if err != nil {
			return err.Error()
		}
		if about.PID != a.pid() || !strings.HasPrefix(about.API, "http://127.0.0.1:") {
			return fmt.Sprintf("the agent says of itself: %+v", about)
		}
		h.addr = strings.TrimPrefix(about.API, "http://")
		return ""
	})
	h.serves(a)
	for path, want := range map[string]os.FileMode{h.stateDir(): 0o700, h.state("admin.sock"): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	h.terminate()
	if _, err := h.admin.About(bounded(t)); !errors.As(err, new(*admin.NoAgentError)) {
		t.Errorf("after the agent's end its socket says: %v", err)
	}
}

// An agent that serves says that it keeps its deadlines and is ready.
func TestReady(t *testing.T) {
	h := newHarness(t, setup{})
	for _, path := range []string{"/v1/health", "/v1/ready"} {
		waitFor(t, func() string {
			status, body, err := h.admin.Get(bounded(t), path, 4<<10)
			if err != nil || status != 200 || !strings.HasPrefix(string(body), `{"ok":true,"checks":[{`) {
				return fmt.Sprintf("%s: %d %s, %v", path, status, body, err)
			}
			return ""
		})
	}
}
