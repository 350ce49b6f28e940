package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"go.uber.org/goleak"
)

// programs are shell scripts in the place of the real ones. They are written
// before any test runs: a file that is still open for writing in a process that
// another test has just forked cannot be executed.
var programs = map[string]string{
	"good-nexus":   `echo '{"listen":"127.0.0.1:1","control":"127.0.0.1:2"}' >&2; exec sleep 60`,
	"nexus-ends":   `echo boo >&2; exit 1`,
	"agent-ends":   `echo "bad configuration" >&2; exit 96`,
	"says-address": `echo 'not JSON' >&2; echo '{"message":"hello"}' >&2; echo '{"addr":"127.0.0.1:1"}' >&2; exec sleep 60`,
	"silent":       `exec sleep 60`,
	"says-file":    `exec cat "$0.says"`,
	"good-standin": `[ "$1" != close ] || { echo "will not close" >&2; exit 1; }; echo '{"command_path":"/x/bin","zone_root":"/x/zones"}'`,
	"no-standin":   `echo "no room" >&2; exit 1`,
	"chatty":       `echo hello`,
	"ignores-term": `trap "" TERM; echo '{"addr":"x"}' >&2; while :; do sleep 0.05; done`,
}

var programDir string

func TestMain(m *testing.M) {
	if err := writePrograms(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programDir)
		os.Exit(code)
	}))
}

func writePrograms() (err error) {
	if programDir, err = os.MkdirTemp("", "demo-test-"); err != nil {
		return err
	}
	for name, text := range programs {
		if err := os.WriteFile(program(name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func program(name string) string { return filepath.Join(programDir, name) }

// Whatever goes wrong while the stage is set, the error says what the program
// said, and nothing is left.
func TestSetUpThatFails(t *testing.T) {
	t.Parallel()
	process, illumos := backends()[0], backends()[1]
	tests := []struct {
		name               string
		on                 backend
		nexus, agent, want string
	}{
		{"Nexus ends", process, "nexus-ends", "agent-ends", "boo"},
		{"agent ends", process, "good-nexus", "agent-ends", "exit status 96"},
		{"no agent", process, "good-nexus", "nothing", "start nothing"},
		{"no ground", illumos, "good-nexus", "nothing", "no room"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			programs := map[string]string{"nexus-sim": program(tt.nexus), "sled-agent": program(tt.agent),
				standin: program("no-standin")}
			s, err := setUp(t.Context(), newBoard(cast()), tt.on, programs, grace)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(s.dir); err != nil {
				t.Errorf("before: %v", err)
			}
			if err := s.strike(); err != nil {
				t.Errorf("strike: %v", err)
			}
			if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
				t.Errorf("the directory is left: %v", err)
			}
			if s.nexus != nil && alive(s.nexus.cmd.Process.Pid) {
				t.Error("Nexus is left")
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s := &stage{dir: t.TempDir(), ground: processGround{}, sim: simClient{records: "http://127.0.0.1:12221"}}
	file := filepath.Join(s.dir, "sled-agent.toml")
	if err := s.writeConfig(file, grace); err != nil {
		t.Fatal(err)
	}
	var read struct {
		StateDir string `toml:"state_dir"`
		Nexus    struct{ Addresses []string }
		Watchdog struct {
			StopGrace string `toml:"stop_grace"`
		}
	}
	if _, err := toml.DecodeFile(file, &read); err != nil {
		t.Fatal(err)
	}
	if read.StateDir != filepath.Join(s.dir, "state") || len(read.Nexus.Addresses) != 1 || read.Watchdog.StopGrace != "3s" {
		t.Errorf("read %+v", read)
	}
}

func TestProgramsMustBeThere(t *testing.T) {
	t.Parallel()
	_, err := findPrograms("make build", "no-such-program")
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
