package proc

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sleeper starts a child whose waiting is left to the test.
func sleeper(t *testing.T) (*Handle, int) {
	t.Helper()
	pidfd := -1
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	pid, err := syscall.ForkExec(path, []string{"sleep", "3600"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &pidfd}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Started(pid, pidfd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.Signal(syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		h.Close()
	})
	return h, pid
}

func TestHandle(t *testing.T) {
	t.Parallel()
	h, pid := sleeper(t)
	if h.ID().PID != pid || h.ID().Start == 0 || !Alive(h.ID()) {
		t.Fatalf("handle of %v, child is %d", h.ID(), pid)
	}
	if _, err := Open(ID{PID: pid, Start: h.ID().Start + 1}); !errors.Is(err, ErrGone) {
		t.Errorf("opened a process with another's start: %v", err)
	}
	second, err := Open(h.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	if err := second.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("signal to nobody: %v", err)
	}
	second.Close()
	second.Close()
	if err := second.Signal(0); !errors.Is(err, ErrGone) {
		t.Errorf("signal after Close: %v", err)
	}
	if Alive(h.ID()) {
		t.Error("it lives")
	}
}

func TestZombieIsGone(t *testing.T) {
	t.Parallel()
	h, pid := sleeper(t)
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for info, err := Stat(pid); err == nil && !info.Ended(); info, err = Stat(pid) {
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
	if _, err := Open(h.ID()); !errors.Is(err, ErrGone) {
		t.Errorf("opened a zombie: %v", err)
	}
}

func TestPoller(t *testing.T) {
	t.Parallel()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		h, _ := sleeper(t)
		wg.Add(1)
		if err := p.Add(h, func(end End) {
			defer wg.Done()
			if !end.Child || end.Status.Signal() != syscall.SIGKILL {
				t.Errorf("end %+v", end)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := h.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			<-h.Done()
		} else {
			defer func() { _ = h.Signal(syscall.SIGKILL) }()
			go func() { _ = h.Signal(syscall.SIGKILL) }()
		}
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	h, _ := sleeper(t)
	if err := p.Add(h, func(End) {}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("add to a closed poller: %v", err)
	}
}

// A process that ended before anybody watched it has ended all the same.
func TestPollerOfTheDead(t *testing.T) {
	t.Parallel()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	h, pid := sleeper(t)
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for info, err := Stat(pid); err == nil && !info.Ended(); info, err = Stat(pid) {
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
	ended := make(chan End, 1)
	if err := p.Add(h, func(e End) { ended <- e }); err != nil {
		t.Fatal(err)
	}
	if end := <-ended; !end.Child {
		t.Errorf("end %+v", end)
	}
}

func TestPollerCloseLeavesProcessesAlone(t *testing.T) {
	t.Parallel()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	h, _ := sleeper(t)
	id := h.ID()
	if err := p.Add(h, func(End) { t.Error("told of an end") }); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !Alive(id) {
		t.Error("it is gone")
	}
	if err := Kill(id); err != nil {
		t.Error(err)
	}
}

func TestHasEnvAndArgs(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "3601")
	cmd.Env = []string{"A=1", "ZONE=/x/y"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	// Start returns when the new program's files are in place, and that may be
	// before its arguments and environment are.
	for deadline := time.Now().Add(time.Minute); !HasArgs(pid, "sleep", "3601"); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("HasArgs does not find the arguments")
		}
	}
	for variable, want := range map[string]bool{"ZONE=/x/y": true, "ZONE=/x": false, "ONE=/x/y": false, "A=1": true, "": false} {
		if got := HasEnv(pid, variable); got != want && variable != "" {
			t.Errorf("HasEnv %q is %v", variable, got)
		}
	}
	if HasArgs(pid, "sleep") || HasArgs(pid, "sleep", "36010") {
		t.Error("HasArgs is wrong")
	}
}

// A scan that is shared must not have begun before the call: it would miss what
// was started in between, and a killer would think that it is done.
func TestAllSeesWhatIsThere(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				h, pid := sleeper(t)
				all, err := All()
				if err != nil {
					t.Error(err)
				}
				if !slices.ContainsFunc(all, func(i Info) bool { return i.ID == h.ID() }) {
					t.Errorf("process %d is missing", pid)
				}
			}
		})
	}
	wg.Wait()
}
