package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/propolis/qemu"
)

// The whole command line is checked before anything is begun.
func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "qemu")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	const address = "127.0.0.1:0"
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no address":      {[]string{"run"}, "want one ADDR:PORT, got 0 arguments"},
		"no port":         {[]string{"run", "127.0.0.1"}, `address "127.0.0.1": want ADDR:PORT`},
		"no such flag":    {[]string{"run", "--nap", address}, "unknown flag: --nap"},
		"no such command": {[]string{"nap"}, `unknown command "nap"`},
		"no such version": {[]string{"run", "--api-version", "6", address}, `version "6"`},
		"no such network": {[]string{"run", "--qemu", program, "--net", "wifi", address}, `--net "wifi": want none, user, tap or bridge=NAME`},
		"no such bridge":  {[]string{"run", "--qemu", program, "--net", "bridge=lo", address}, "--net: "},
		"no bridge":       {[]string{"run", "--qemu", program, "--net", "bridge=none", address}, `--net: bridge "none": `},
		"no such user":    {[]string{"run", "--qemu", program, "--user", "nob0dy", address}, "--user: find QEMU's user: user: unknown user nob0dy"},
		"no such accel":   {[]string{"run", "--qemu", program, "--accel", "xen", address}, `--accel "xen": want auto, kvm or tcg`},
		"no kernel":       {[]string{"run", "--qemu", program, "--append", "quiet", address}, "--initrd and --append need --kernel"},
		"a kernel that is not there": {[]string{"run", "--qemu", program, "--kernel", filepath.Join(dir, "k"), address},
			filepath.Join(dir, "k") + ": no such file"},
		"no QEMU": {[]string{"run", "--qemu", filepath.Join(dir, "none"), address}, "find QEMU: "},
	} {
		root := rootCommand()
		root.SetArgs(c.args)
		err := root.Execute()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestFlagsAreCompleted(t *testing.T) {
	t.Parallel()
	s := settings{qemu: qemu.Options{Program: "sh", Accel: "auto", Net: "user", Dir: "."}}
	if err := s.check(); err != nil || !filepath.IsAbs(s.qemu.Program) || !filepath.IsAbs(s.qemu.Dir) {
		t.Errorf("%+v, %v", s.qemu, err)
	}
}
