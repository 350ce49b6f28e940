package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// built is the program, in a directory with a server beside it.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "standin-test-")
	built = filepath.Join(dir, "illumos-standin")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", built, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := errors.Join(err, build.Run(), os.WriteFile(filepath.Join(dir, "propolis-sim"), []byte("#!/bin/sh\n"), 0o700)); err != nil {
		panic(err)
	}
	exit := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(exit)
}

// program runs a program and returns both output streams and the exit status.
func program(t *testing.T, path string, args ...string) (out, errOut string, exit int) {
	t.Helper()
	var text strings.Builder
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stderr = &text
	printed, err := cmd.Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return string(printed), text.String(), cmd.ProcessState.ExitCode()
}

// installed creates a host in a new directory and closes it when the test ends.
func installed(t *testing.T, args ...string) (h *standin.Host, printed string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), `a "b`)
	args = append([]string{"install"}, append(args, dir)...)
	out, errOut, exit := program(t, built, args...)
	h, err := standin.OpenHost(dir)
	if exit != 0 || errOut != "" || err != nil {
		t.Fatalf("install: exit %d, %s, %v", exit, errOut, err)
	}
	t.Cleanup(func() {
		if err := closeHost([]string{dir}); err != nil {
			t.Error(err)
		}
	})
	return h, out
}

// install prints the configuration for that host, in either format. The default server
// is found beside the program.
func TestInstallPrintsTheConfiguration(t *testing.T) {
	t.Parallel()
	h, out := installed(t)
	quote := func(path string) string { return `"` + strings.ReplaceAll(path, `"`, `\"`) + `"` }
	want := fmt.Sprintf("[zones]\n  backend = \"illumos\"\n  [zones.illumos]\n    command_path = %s\n    image = [%s, %s]\n"+
		"    vmmctl = \"\"\n    zone_root = %s\n", quote(h.BinDir()), quote(h.Images()[0]), quote(h.Images()[1]), quote(h.ZoneRoot()))
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	server := []string{filepath.Join(filepath.Dir(built), "propolis-sim"), "run", "{addr}"}
	if diff := cmp.Diff(server, h.Options().Server); diff != "" {
		t.Errorf("its server (-want +got):\n%s", diff)
	}
	h, out = installed(t, "-o", "json")
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"command_path": h.BinDir(), "zone_root": h.ZoneRoot(), "vmmctl": "",
		"image": []any{h.Images()[0], h.Images()[1]}}, got); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
}

// A host has addresses of both families, so that servers of either find a gateway. Its
// program injects faults. close ends all its processes, including those that hang, and
// may be repeated.
func TestInstalledHost(t *testing.T) {
	t.Parallel()
	h, _ := installed(t)
	ask := func(name string, args ...string) (printed string) {
		out, errOut, exit := program(t, filepath.Join(h.BinDir(), name), args...)
		return fmt.Sprint(exit, " ", out, errOut)
	}
	if got := ask("ipadm", "show-addr", "-p", "-o", "ADDR"); got != "0 127.0.0.1/8\nfd00:1122:3344:101::1/64\n" {
		t.Errorf("ipadm: %q", got)
	}
	for _, step := range []struct{ command, argument, want string }{
		{"fault", `{"Do":"fail","Command":"dladm","Exit":7,"Text":"no"}`, "0 1\n"},
		{"dladm", "show-link", "7 no\n"},
		{"fault", "release", "0 "},
		{"zoneadm", "explode", "2 usage: zoneadm: [\"explode\"] is wrong, or not simulated\n"},
	} {
		if got := ask("illumos-standin", step.command, step.argument); got != step.want {
			t.Errorf("%s: %q, want %q", step.command, got, step.want)
		}
	}
	ask("illumos-standin", "fault", `{"Do":"hang","Command":"zfs"}`)
	hangs := exec.CommandContext(t.Context(), filepath.Join(h.BinDir(), "zfs"), "list")
	if err := hangs.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, errOut, exit := program(t, built, "close", filepath.Dir(h.BinDir())); exit != 0 || out+errOut != "" {
			t.Errorf("close: exit %d, %s%s", exit, out, errOut)
		}
	}
	if err := hangs.Wait(); err == nil {
		t.Error("a hanging command exited with 0")
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	empty, full := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{nil, 2, "install one"},
		{[]string{"zoneadm", "list"}, 2, "install one"},
		{[]string{"install"}, 2, "DIR is missing"},
		{[]string{"install", ""}, 2, "DIR is missing"},
		{[]string{"install", "-o", "xml", empty}, 2, "must be toml or json"},
		{[]string{"install", "--fast", empty}, 2, "-fast"},
		{[]string{"install", empty, "./sim"}, 2, "must be an absolute path or a name"},
		{[]string{"install", empty, "no-such-server"}, 1, "no-such-server"},
		{[]string{"install", empty, "/no/such/server"}, 1, "/no/such/server"},
		{[]string{"install", full}, 1, "not empty"},
		{[]string{"install", filepath.Join(full, "file")}, 1, "file"},
		{[]string{"close"}, 2, "one DIR is required"},
		{[]string{"close", "-f"}, 2, "one DIR is required"},
		{[]string{"close", full}, 1, "contains no host"},
		{[]string{"close", filepath.Join(full, "none")}, 1, "no such file"},
	} {
		if out, errOut, exit := program(t, built, tt.args...); exit != tt.exit || !strings.Contains(errOut, tt.want) || out != "" {
			t.Errorf("%q: exit %d, %q, %q, want exit %d and %q", tt.args, exit, out, errOut, tt.exit, tt.want)
		}
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"install", "--help"}} {
		if out, errOut, exit := program(t, built, args...); exit != 0 || out != usage || errOut != "" {
			t.Errorf("%q: exit %d, %q, %q", args, exit, out, errOut)
		}
	}
}
