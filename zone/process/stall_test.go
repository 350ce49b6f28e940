//go:build linux

package process

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/spawner"
)

// A gate blocks every exec of one program until it is opened, like a file system that
// does not answer.
type gate struct {
	path string
	fd   int

	mu   sync.Mutex
	open bool
	held []int32
	came chan struct{}
}

// newGate makes a copy of this program whose execs are blocked.
func newGate(t *testing.T) *gate {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		t.Skipf("execs cannot be held here: %v", err)
	}
	g := &gate{path: filepath.Join(t.TempDir(), "self"), fd: fd, came: make(chan struct{}, 100)}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	program, err := os.OpenFile(g.path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(program, self); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, g.path); err != nil {
		_ = unix.Close(fd)
		t.Skipf("execs cannot be held here: %v", err)
	}
	// In a thread of its own, which waits in the kernel.
	var reader sync.WaitGroup
	reader.Go(g.read)
	t.Cleanup(func() {
		g.release()
		_ = unix.FanotifyMark(fd, unix.FAN_MARK_FLUSH, 0, unix.AT_FDCWD, "")
		g.mu.Lock()
		g.fd = -1
		g.mu.Unlock()
		reader.Wait()
		_ = unix.Close(fd)
	})
	return g
}

func (g *gate) read() {
	for {
		poll := []unix.PollFd{{Fd: int32(g.descriptor()), Events: unix.POLLIN}}
		if poll[0].Fd < 0 {
			return
		}
		if n, err := unix.Poll(poll, 20); n <= 0 || err != nil {
			continue
		}
		buf := make([]byte, 4096)
		n, err := unix.Read(int(poll[0].Fd), buf)
		if err != nil {
			return
		}
		for size := int(unsafe.Sizeof(unix.FanotifyEventMetadata{})); n >= size; {
			event := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&buf[0]))
			g.take(event.Fd)
			n -= int(event.Event_len)
			buf = buf[event.Event_len:]
		}
	}
}

func (g *gate) descriptor() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fd
}

func (g *gate) take(fd int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.allow(fd)
		return
	}
	g.held = append(g.held, fd)
	g.came <- struct{}{}
}

func (g *gate) allow(fd int32) {
	answer := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, uint32(fd)), unix.FAN_ALLOW)
	_, _ = unix.Write(g.fd, answer)
	_ = unix.Close(int(fd))
}

// release unblocks every exec, including future ones.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, fd := range g.held {
		g.allow(fd)
	}
	g.held = nil
}

// letOthers lets future execs pass, but not those that are blocked.
func (g *gate) letOthers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
}

// An exec that stalls affects only its own start: this process continues, starts and
// ends other zones, and a process that the exec creates later is killed.
func TestStalledExec(t *testing.T) {
	g := newGate(t)
	m := newManager(t, "sleep")
	running(t, m, prefix+"before")
	m.cfg.Self = g.path
	stuck := prefix + "stuck"
	create(t, m, stuck)
	ctx, cancel := context.WithCancel(ctxFor(t))
	booted := make(chan error, 1)
	go func() { booted <- m.Boot(ctx, stuck) }()
	<-g.came
	g.letOthers()
	// This stops the world, which is impossible while a thread waits for an exec.
	runtime.GC()
	remove(t, m, prefix+"before")
	running(t, m, prefix+"after")
	if info := look(t, m, stuck); info.State != zone.Installed {
		t.Errorf("the zone whose start is stuck is %+v", info)
	}
	cancel()
	if err := <-booted; !errors.Is(err, context.Canceled) {
		t.Errorf("boot: %v", err)
	}
	remove(t, m, stuck)
	g.release()
	eventually(t, "the end of what was stuck", func() bool { return len(members(t, m, stuck)) == 0 })
	running(t, m, prefix+"last")
}

// While every helper is stuck, starts fail with ErrBusy and kills work. Starts work
// again when the execs have ended.
func TestEveryExecStalls(t *testing.T) {
	g := newGate(t)
	m := newManager(t, "sleep")
	running(t, m, prefix+"before")
	m.cfg.Self = g.path
	ctx, cancel := context.WithCancel(ctxFor(t))
	var boots sync.WaitGroup
	for i := range 12 {
		name := prefix + "stuck-" + string(rune('a'+i))
		create(t, m, name)
		boots.Go(func() {
			if err := m.Boot(ctx, name); err == nil {
				t.Error("booted")
			}
		})
	}
	for range 8 {
		<-g.came
	}
	runtime.GC()
	if err := m.Remove(ctxFor(t), zone.RungKill, prefix+"before"); err != nil {
		t.Error(err)
	}
	remove(t, m, prefix+"before")
	short, end := context.WithTimeout(ctxFor(t), 1)
	defer end()
	name := prefix + "one-too-many"
	create(t, m, name)
	if err := m.Boot(short, name); err == nil {
		t.Error("booted")
	}
	cancel()
	boots.Wait()
	g.release()
	if err := m.Boot(ctxFor(t), name); err != nil {
		t.Error(err)
	}
}

// helpers returns the pids of this process's helpers.
func helpers(t *testing.T) (pids []int) {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		args, _, err := proc.Started(p.PID, "")
		if err == nil && p.PPID == os.Getpid() && slices.Equal(args, []string{spawner.Arg0}) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// Helpers that were killed are replaced. Not parallel: it kills all helpers.
func TestKilledHelpers(t *testing.T) {
	m := newManager(t, "sleep")
	for i := range 3 {
		for _, pid := range helpers(t) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		name := prefix + "again-" + string(rune('a'+i))
		create(t, m, name)
		eventually(t, "a start", func() bool {
			err := m.Boot(ctxFor(t), name)
			if err != nil && !errors.Is(err, zone.ErrBusy) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
}
