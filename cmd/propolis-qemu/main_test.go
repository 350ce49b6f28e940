package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

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
		"no such command": {[]string{"nap"}, `no such command "nap"`},
		"no such version": {[]string{"run", "--api-version", "6", address}, `version "6"`},
		"no such network": {[]string{"run", "--qemu", program, "--net", "wifi", address}, `--net "wifi": want none, user or tap`},
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

// A console gets what is typed and shows what the VM writes, until Ctrl-] or the VM's end.
func TestConsole(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/instance/serial?from_start=0" || r.Header.Get("Api-Version") != "6.0.0" {
			t.Errorf("asked for %s in version %q", r.URL, r.Header.Get("Api-Version"))
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_, typed, err := conn.Read(r.Context())
		if err != nil {
			t.Error(err)
		}
		_ = conn.Write(r.Context(), websocket.MessageBinary, bytes.ToUpper(typed))
		_ = conn.Close(websocket.StatusNormalClosure, "the VM has ended")
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := dialConsole(ctx, strings.TrimPrefix(server.URL, "http://"), "6.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if !sendInput(ctx, conn, strings.NewReader("abc\x1dd"), true) {
		t.Error("Ctrl-] does not end it")
	}
	var shown bytes.Buffer
	if err := showOutput(ctx, conn, &shown); websocket.CloseStatus(err) != websocket.StatusNormalClosure || shown.String() != "ABC" {
		t.Errorf("shown %q, %v", shown.String(), err)
	}
}

// What is not a terminal may end before the VM, and has no key to leave.
func TestConsoleWithoutATerminal(t *testing.T) {
	t.Parallel()
	if sendInput(t.Context(), nil, strings.NewReader(""), false) {
		t.Error("the end of the input ends the console")
	}
}
