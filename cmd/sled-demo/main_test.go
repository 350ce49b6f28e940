package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// scripts are shell programs that replace the real ones, by directory and name. They
// are written before any test runs: a file that is open for writing in a process just
// forked by another test cannot be executed.
var scripts = map[string]string{
	"nexus-ends/nexus-sim":      `echo boo >&2; exit 1`,
	"agent-ends/nexus-sim":      `echo '{"listen":"127.0.0.1:1","control":"127.0.0.1:2"}' >&2; exec sleep 60`,
	"agent-ends/sled-agent":     `echo "bad configuration" >&2; exit 96`,
	"no-agent/nexus-sim":        `echo '{"listen":"127.0.0.1:1"}' >&2; exec sleep 60`,
	"no-host/illumos-standin":   `echo "no room" >&2; exit 1`,
	"one/says-address":          `echo 'not JSON' >&2; echo '{"message":"hello"}' >&2; echo '{"addr":"127.0.0.1:1"}' >&2; exec sleep 60`,
	"one/silent":                `exec sleep 60`,
	"one/ignores-term":          `trap "" TERM; echo '{"addr":"x"}' >&2; while :; do sleep 0.05; done`,
	"one/says-file":             `exec cat "$0.says"`,
	"good-host/illumos-standin": `[ "$1" != close ] || { echo "will not close" >&2; exit 1; }; echo '[zones]'`,
}

var scriptDir string

func TestMain(m *testing.M) {
	if err := writeScripts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scriptDir)
		os.Exit(code)
	}))
}

func writeScripts() (err error) {
	if scriptDir, err = os.MkdirTemp("", "demo-test-"); err != nil {
		return err
	}
	for name, text := range scripts {
		if err := os.MkdirAll(filepath.Dir(script(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(script(name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func script(name string) string { return filepath.Join(scriptDir, name) }

// Whatever fails during the set-up, the error quotes the program's output, and nothing
// is left behind.
func TestSetUpThatFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ bin, backend, want string }{
		{"nexus-ends", "process", "boo"},
		{"agent-ends", "process", "exit status 96"},
		{"no-agent", "process", "start sled-agent"},
		{"no-host", "illumos", "no room"},
	} {
		t.Run(tt.bin, func(t *testing.T) {
			t.Parallel()
			d, err := newDemo(script(tt.bin), "process", grace)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.setUp(t.Context(), tt.backend); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(d.dir); err != nil {
				t.Errorf("before: %v", err)
			}
			if err := d.end(); err != nil {
				t.Errorf("end: %v", err)
			}
			if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
				t.Errorf("the directory is left: %v", err)
			}
			if d.nexus != nil && alive(d.nexus.process.Pid) {
				t.Error("Nexus is left")
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), os.Stdout, "kvm", grace); err == nil || !strings.Contains(err.Error(), "process, illumos or qemu") {
		t.Errorf("backend kvm: %v", err)
	}
	if err := run(t.Context(), os.Stdout, "process", -1); err == nil || !strings.Contains(err.Error(), "0 to 1m") {
		t.Errorf("negative grace: %v", err)
	}
}

// The events of two agents are joined, and those of one are its newest answer, whose times may not
// be in order.
func TestJoined(t *testing.T) {
	t.Parallel()
	list := func(kinds ...string) (all []event) {
		for _, k := range kinds {
			all = append(all, event{At: at(ms(int(k[0] - 'a'))), Kind: k})
		}
		return all
	}
	for _, c := range []struct{ known, newer, want []event }{
		{nil, list("a"), list("a")},
		{list("a", "c"), list("a", "c", "b"), list("a", "c", "b")},
		{list("a", "b"), list("d", "c"), list("a", "b", "d", "c")},
		{list("a"), nil, list("a")},
	} {
		if got := joined(c.known, c.newer); !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.known, c.newer, got, c.want)
		}
	}
}
