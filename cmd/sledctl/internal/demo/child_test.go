package demo

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startProgram starts one of the programs.
func startProgram(t *testing.T, name string) *child {
	t.Helper()
	c, err := startChild(program(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(termBudget) })
	return c
}

func TestChildSays(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := startProgram(t, "says-address")
	said, err := c.says(ctx, "addr")
	if err != nil || said["addr"] != "127.0.0.1:1" {
		t.Errorf("said %v, %v", said, err)
	}
	pid := c.cmd.Process.Pid
	if !alive(pid) {
		t.Error("the program is not alive")
	}
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process %d is in group %d (%v): Ctrl-C would reach it", pid, group, err)
	}
	c.end(termBudget)
	if alive(pid) {
		t.Error("the program has survived")
	}
}

func TestChildThatEndsEarly(t *testing.T) {
	t.Parallel()
	c := startProgram(t, "agent-ends")
	_, err := c.says(t.Context(), "addr")
	if err == nil || !strings.Contains(err.Error(), "exit status 96") || !strings.Contains(err.Error(), "bad configuration") {
		t.Errorf("error %v, want the exit status and the last words", err)
	}
}

func TestChildThatIsSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if said, err := startProgram(t, "silent").says(ctx, "addr"); err == nil {
		t.Errorf("said %v", said)
	}
}

func TestChildThatIgnoresTheSignal(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := startProgram(t, "ignores-term")
	if _, err := c.says(ctx, "addr"); err != nil {
		t.Fatal(err)
	}
	pid := c.cmd.Process.Pid
	c.end(50 * time.Millisecond)
	if alive(pid) {
		t.Error("the program has survived")
	}
}

// A program that writes for ever without a newline takes no memory for it.
func TestLogReaderIsBounded(t *testing.T) {
	t.Parallel()
	l := newLogReader()
	for range 100 {
		if n, err := l.Write(make([]byte, maxLine/10)); n != maxLine/10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(l.part) > maxLine {
		t.Errorf("%d bytes are kept", len(l.part))
	}
	for range 1000 {
		if _, err := l.Write([]byte("\n{\"a\":1}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.last) > tailLines || len(l.early) > maxEarly {
		t.Errorf("%d and %d lines are kept", len(l.last), len(l.early))
	}
}
