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

// script writes a program to run as helper process.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	// Another process writes the file: a child forked by this one could inherit the
	// descriptor, and exec of a file that is open for writing fails.
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
	ask := func(ctx context.Context, self string) (answer, error) { return New("", "", self).helper(ctx, query) }
	a, err := ask(t.Context(), script(t, `echo '{"values":['$#',5]}'; test "$1 $2" = "reservoir /dev/vmmctl"`))
	if err != nil || !slices.Equal(a.Values, []uint64{2, 5}) {
		t.Errorf("answered %v, %v", a, err)
	}
	_, err = ask(t.Context(), script(t, `echo '{"error":"busy","errno":`+strconv.Itoa(int(syscall.EBUSY))+`}'`))
	if !errors.Is(err, syscall.EBUSY) {
		t.Errorf("errno: %v", err)
	}
	_, err = ask(t.Context(), script(t, `echo trouble >&2; exit 3`))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "trouble") {
		t.Errorf("no answer: %v", err)
	}
	_, err = ask(budget(t, 300*time.Millisecond), script(t, `yes '{"values":[1]}'`))
	if err == nil {
		t.Error("endless output was accepted as an answer")
	}
	if _, err := ask(t.Context(), "/nonexistent"); !errors.Is(err, os.ErrNotExist) {
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
	h := New("", "", script(t, `echo $$ >`+dir+`/pid.new; /bin/mv `+dir+`/pid.new `+dir+`/pid; exec /bin/sleep 1000`))
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
	_, err := h.helper(ctx, query)
	if !errors.Is(err, asleep) || stuck(err) {
		t.Errorf("over budget: %v", err)
	}
	text, _ := os.ReadFile(dir + "/pid")
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("helper process %d still exists: %v", pid, err)
	}
	if len(h.helpers.Places) != 0 || h.helpers.Count() != 0 {
		t.Errorf("%d places taken, %d stuck", len(h.helpers.Places), h.helpers.Count())
	}
}

// A test cannot make a process survive SIGKILL, so the helper is not sent one.
func TestHelperSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := New("", "", script(t, `while test -d `+dir+` && ! test -e `+dir+`/end; do /bin/sleep 0.01; done; echo '{}'`))
	h.helpers.KillGrace, h.helpers.Kill = 10*time.Millisecond, func(int) error { return nil }
	hung := func(vm string) error {
		_, err := h.helper(budget(t, 10*time.Millisecond), request{op: opDestroySelf, path: "/" + vm, vm: vm})
		return err
	}
	for n := 1; n <= maxHelpers; n++ {
		if err := hung(fmt.Sprint("vm", n)); !stuck(err) || !errors.Is(err, context.DeadlineExceeded) || h.helpers.Count() != n {
			t.Fatalf("%d stuck after %v, want %d", h.helpers.Count(), err, n)
		}
	}
	if err := hung("vm3"); !stuck(err) || h.helpers.Count() != maxHelpers {
		t.Errorf("a second one for the same VM: %v, %d stuck", err, h.helpers.Count())
	}
	if err := hung("other"); stuck(err) || !errors.Is(err, context.DeadlineExceeded) || h.helpers.Count() != maxHelpers {
		t.Errorf("one more than maxHelpers: %v, %d stuck", err, h.helpers.Count())
	}
	if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.helper(t.Context(), request{op: opDestroySelf, path: "/other", vm: "other"}); err != nil {
		t.Errorf("once they have ended: %v", err)
	}
	for len(h.helpers.Places) > 0 || h.helpers.Count() > 0 {
		if t.Context().Err() != nil {
			t.Fatalf("%d places taken, %d stuck", len(h.helpers.Places), h.helpers.Count())
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
