package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// script makes a program that serves as helper process.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	// Written by another process: a descriptor of this one, still open for
	// writing in a child that was forked meanwhile, would make exec fail.
	write := &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr}, Env: []string{"BODY=#!/bin/sh\n" + body + "\n", "FILE=" + path}}
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", `umask 077; printf %s "$BODY" >"$FILE" && /bin/chmod 700 "$FILE"`}, write)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := p.Wait(); err != nil || !state.Success() {
		t.Fatal("write script: ", state, err)
	}
	return path
}

var query = request{op: opReservoir, path: "/dev/vmmctl"}

func TestHelperProcess(t *testing.T) {
	t.Parallel()
	values, err := newHelpers(script(t, `echo ok $# 5; test "$1 $2" = "reservoir /dev/vmmctl"`)).run(t.Context(), query)
	if err != nil || !slices.Equal(values, []uint64{2, 5}) {
		t.Errorf("answered %v, %v", values, err)
	}
	_, err = newHelpers(script(t, `echo errno `+strconv.Itoa(int(syscall.EBUSY))+` busy; exit 1`)).run(t.Context(), query)
	if !errors.Is(err, syscall.EBUSY) {
		t.Errorf("errno: %v", err)
	}
	_, err = newHelpers(script(t, `echo trouble >&2; exit 3`)).run(t.Context(), query)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "trouble") {
		t.Errorf("no answer: %v", err)
	}
	_, err = newHelpers(script(t, `yes ok`)).run(budget(t, 300*time.Millisecond), query)
	if err == nil {
		t.Error("endless output is an answer")
	}
	if _, err := newHelpers("/nonexistent").run(t.Context(), query); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

func TestHelperIsThisProgram(t *testing.T) {
	t.Parallel()
	if _, _, err := New("/dev/vmmctl", "/dev/vmm", "").Interface(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a helper process on this system: %v", err)
	}
}

func TestHelperOverBudgetIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelpers(script(t, `echo $$ >`+dir+`/pid.new; /bin/mv `+dir+`/pid.new `+dir+`/pid; exec /bin/sleep 1000`))
	ctx, cancel := context.WithCancelCause(t.Context())
	asleep := errors.New("it sleeps")
	go func() {
		defer cancel(asleep)
		for !exists(dir + "/pid") {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(time.Millisecond) // sleep: polls for what another process does
		}
	}()
	_, err := h.run(ctx, query)
	if !errors.Is(err, asleep) || errors.Is(err, ErrStuck) {
		t.Errorf("over budget: %v", err)
	}
	text, _ := os.ReadFile(dir + "/pid")
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("helper process %d is still there: %v", pid, err)
	}
	if len(h.slots) != 0 || h.stuck() != 0 {
		t.Errorf("%d places taken, %d stuck", len(h.slots), h.stuck())
	}
}

// A process that survives SIGKILL cannot be made to order, so one that is not
// sent any stands in for it.
func TestHelperThatSurvivesItsKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelpers(script(t, `while test -d `+dir+` && ! test -e `+dir+`/end; do /bin/sleep 0.01; done; echo ok`))
	h.grace, h.kill = 10*time.Millisecond, func(int) error { return nil }
	hung := func(vm string) error {
		_, err := h.run(budget(t, 10*time.Millisecond), request{op: opDestroySelf, path: "/" + vm, vm: vm})
		return err
	}
	for n := 1; n <= maxHelpers; n++ {
		if err := hung(fmt.Sprint("vm", n)); !errors.Is(err, ErrStuck) || !errors.Is(err, context.DeadlineExceeded) || h.stuck() != n {
			t.Fatalf("%d stuck after %v, want %d", h.stuck(), err, n)
		}
	}
	if err := hung("vm3"); !errors.Is(err, ErrStuck) || h.stuck() != maxHelpers {
		t.Errorf("a second one for the same VM: %v, %d stuck", err, h.stuck())
	}
	if err := hung("other"); errors.Is(err, ErrStuck) || !errors.Is(err, context.DeadlineExceeded) || h.stuck() != maxHelpers {
		t.Errorf("one more than there may be: %v, %d stuck", err, h.stuck())
	}
	if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.run(t.Context(), request{op: opDestroySelf, path: "/other", vm: "other"}); err != nil {
		t.Errorf("once they have ended: %v", err)
	}
	for len(h.slots) > 0 || h.stuck() > 0 {
		if t.Context().Err() != nil {
			t.Fatalf("%d places taken, %d stuck", len(h.slots), h.stuck())
		}
		time.Sleep(time.Millisecond) // sleep: polls for what other processes do
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func budget(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
