package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// endFirstThread is set in the environment of a copy of the test that ends its first
// thread and continues to run.
const endFirstThread = "SLED_TEST_END_FIRST_THREAD"

func init() {
	if os.Getenv(endFirstThread) != "" {
		runtime.LockOSThread() // to the first thread, since this is an init function
		go func() { select {} }()
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sleeper starts a child that the test has to reap.
func sleeper(t *testing.T) (*Handle, int) {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	pid, err := syscall.ForkExec(path, []string{"sleep", "3600"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Child(pid)
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
	if h.ID().PID != pid || h.ID().Start == 0 || !alive(t, h.ID()) {
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
		t.Errorf("signal to an ended process: %v", err)
	}
	second.Close()
	second.Close()
	// A closed handle proves no end.
	if err := second.Signal(0); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("signal after Close: %v", err)
	}
	if alive(t, h.ID()) {
		t.Error("it is alive")
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

// A process that ended before it was watched is reported, too.
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
	if err := p.Add(h, func(End) { t.Error("an end was reported") }); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !alive(t, id) {
		t.Error("it is gone")
	}
	if err := Kill(id); err != nil {
		t.Error(err)
	}
}

func TestEnvAndArgs(t *testing.T) {
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
	// Start may return before the new program has its arguments and environment.
	// Their absence must not be returned as an answer.
	pid := cmd.Process.Pid
	if args, err := Args(pid); err != nil || !slices.Equal(args, []string{"sleep", "3601"}) {
		t.Errorf("arguments %q, %v", args, err)
	}
	for key, want := range map[string]string{"ZONE": "/x/y", "ZON": "", "ONE": "", "A": "1", "": ""} {
		if _, got, err := Started(pid, key); got != want || err != nil {
			t.Errorf("variable %q is %q, %v", key, got, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := Args(pid); !errors.Is(err, ErrGone) {
		t.Errorf("arguments of an absent process: %v", err)
	}
	for _, p := range []int{2, os.Getpid()} {
		if _, err := Args(p); err != nil {
			t.Errorf("arguments of %d: %v", p, err)
		}
	}
}

func alive(t *testing.T, id ID) bool {
	t.Helper()
	ok, err := Alive(id)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// A list is complete or an error: a process that cannot be looked at may be the wanted
// one.
func TestScanIsCompleteOrFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(pid int) {
		path := filepath.Join(dir, strconv.Itoa(pid))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		line := strings.Replace(statLine, "4711 (", strconv.Itoa(pid)+" (", 1)
		if err := os.WriteFile(filepath.Join(path, "stat"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(12)
	if infos, err := listIn(dir); err == nil {
		t.Errorf("without this process: %v", infos)
	}
	put(os.Getpid())
	if err := os.Mkdir(filepath.Join(dir, "13"), 0o700); err != nil { // ended meanwhile
		t.Fatal(err)
	}
	if infos, err := listIn(dir); err != nil || len(infos) != 2 {
		t.Errorf("%v, %v", infos, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "13", "stat"), 0o700); err != nil { // EISDIR, for any error
		t.Fatal(err)
	}
	if infos, err := listIn(dir); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("with a process that cannot be read: %v, %v", infos, err)
	}
}

// The first thread of a process may end before the others. /proc then shows the process
// as a zombie.
func TestProcessOutlivesItsFirstThread(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), endFirstThread+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	for info, err := Stat(cmd.Process.Pid); info.State != 'Z'; info, err = Stat(cmd.Process.Pid) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
	info, err := Stat(cmd.Process.Pid)
	if err != nil || info.Ended() || !alive(t, info.ID) {
		t.Errorf("%+v, %v: it is alive but counts as ended", info, err)
	}
	if _, value, err := Started(cmd.Process.Pid, endFirstThread); value != "1" || err != nil {
		t.Errorf("its environment has %q, %v", value, err)
	}
}

// /proc's entry of this process shows whether its pids are those of fork and kill.
func TestOwnView(t *testing.T) {
	t.Parallel()
	for status, ok := range map[string]bool{
		"Name:\tx\nNSpid:\t7\n":       true,
		"Name:\tx\nNSpid:\t8\n":       false,
		"Name:\tx\nNSpid:\t4711\t7\n": false,
		"Name:\tx\nNSpid:\t7\t7\n":    false,
		"Name:\tx\n":                  false,
		"":                            false,
	} {
		if err := ownView([]byte(status), 7); (err == nil) != ok {
			t.Errorf("%q: %v", status, err)
		}
	}
}

// A shared scan must not have begun before the call: it would miss processes started in
// between, and KillTree would end too early.
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

// A read that does not return delays its readers only once, by the limit.
func TestReadThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cmdline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	p := boundedReads{limit: 50 * time.Millisecond, pending: make(map[string]*pendingRead)}
	for range 20 {
		if data, err := p.readFile(path); !errors.Is(err, ErrHidden) {
			t.Errorf("read %q, %v", data, err)
		}
	}
	if n := len(p.pending); n != 1 {
		t.Errorf("%d reads are pending", n)
	}
	p.mu.Lock()
	pending := p.pending[path]
	p.mu.Unlock()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	<-pending.done
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("now"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := p.readFile(path); string(data) != "now" || err != nil {
		t.Errorf("afterwards: %q, %v", data, err)
	}
}
