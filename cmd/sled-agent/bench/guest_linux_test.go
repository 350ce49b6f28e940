package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone/process"
)

const (
	// touchMode makes this program touch as many MiB as its argument says, say so, and wait.
	touchMode = "touch-memory"
	// guestGrace is shorter than the time after which propolis-qemu kills a QEMU that does not
	// answer, so that only the deadline ends the guest.
	guestGrace = time.Second
	// touchLimit bounds the wait for a guest to touch its memory, which takes minutes on a busy machine.
	touchLimit = 10 * time.Minute
)

// BenchmarkGuestKill stops real guests whose QEMU is stopped by a signal and so cannot obey. It
// reports the time from their common deadline until the last process of the last zone is gone,
// with the memory that the guests have touched given back. The floor is to send as many plain
// processes, which have touched as much, SIGKILL, and to wait for them.
func BenchmarkGuestKill(b *testing.B) {
	dir := os.Getenv("E2E_GUEST")
	if dir == "" {
		b.Skip("needs a guest (make guest, E2E_GUEST=DIR) and QEMU")
	}
	server := buildGuestServer(b, dir)
	for _, c := range []struct{ vmms, mib int }{{1, 16}, {10, 16}, {1, 1 << 10}, {1, 4 << 10}} {
		b.Run(fmt.Sprintf("vmms=%d/touched=%dMiB", c.vmms, c.mib), func(b *testing.B) {
			if free := availableMiB(b); free < 2*c.vmms*guestMiB(c.mib) {
				b.Skipf("%d MiB of memory are available", free)
			}
			r := newGuestHarness(b, server)
			var ours, floor sample
			for b.Loop() {
				floor = append(floor, touchedFloor(b, c.vmms, c.mib))
				ours = append(ours, r.killGuests(c.vmms, c.mib))
			}
			metrics(b, map[string]float64{"gone-ms": ms(ours.median()), "gone-max-ms": ms(ours.max()),
				"floor-ms": ms(floor.median()), "floor-max-ms": ms(floor.max()), "x-floor": ms(ours.median()) / ms(floor.median())})
		})
	}
}

// buildGuestServer returns the command of a server with the guest in the directory.
func buildGuestServer(b *testing.B, dir string) []string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "propolis-qemu")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "github.com/sledagent/sledagent/cmd/propolis-qemu").CombinedOutput()
	if err != nil {
		b.Fatalf("build propolis-qemu: %v\n%s", err, out)
	}
	return []string{program, "run", "--api-version", "7.0.0", "--accel", "tcg", "--kernel", filepath.Join(dir, "kernel"),
		"--initrd", filepath.Join(dir, "initrd"), "--append", "console=ttyS0 quiet no_timer_check", "{addr}"}
}

func init() { modes[touchMode] = touchMemory }

func newGuestHarness(b *testing.B, server []string) *harness {
	b.Helper()
	zones, err := process.New(process.Config{Dir: b.TempDir(), Prefix: prefix, Argv: server, Log: log()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = zones.Close() })
	return newHarness(b, options{zones: zones, propolis: func(addr netip.AddrPort) runner.Propolis {
		return propolis.NewClient(addr, propolis.Options{APIVersion: "7.0.0"})
	}})
}

// killGuests runs guests that have touched memory, and ends them by a deadline.
func (r *harness) killGuests(n, mib int) time.Duration {
	r.b.Helper()
	addrs := make([]netip.AddrPort, n)
	for i := range addrs {
		addrs[i] = freeAddr(r.b)
	}
	vms := r.start(wire.BodyOptions{CPUs: 1, MemoryMiB: uint64(guestMiB(mib))}, addrs...)
	var pids []int
	for i, v := range vms {
		touch(r.b, addrs[i], mib)
		pids = append(pids, stopQEMU(r.b, v.id)...)
	}
	due := time.Now().Add(guestGrace)
	r.stopAll(vms, due)
	<-time.After(time.Until(due))
	for _, pid := range pids {
		awaitGone(r.b, pid)
	}
	late := time.Since(due)
	r.forget(vms)
	return late
}

// guestMiB returns the memory of a guest that can touch so much of it.
func guestMiB(touched int) int { return 192 + touched*9/8 }

// touch makes a guest touch memory, through its console.
func touch(b testing.TB, addr netip.AddrPort, mib int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), touchLimit)
	defer cancel()
	console, _, err := websocket.Dial(ctx, "http://"+addr.String()+"/instance/serial?from_start=0",
		&websocket.DialOptions{HTTPHeader: http.Header{"Api-Version": {"7.0.0"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer console.CloseNow()
	await := func(what string) {
		for text := ""; !strings.Contains(text, what); {
			_, frame, err := console.Read(ctx)
			if err != nil {
				b.Fatalf("the guest has not written %q but %q: %v", what, text, err)
			}
			text += string(frame)
		}
	}
	await("guest up 1\r\n")
	if err := console.Write(ctx, websocket.MessageBinary, fmt.Appendf(nil, "fill %d\n", mib)); err != nil {
		b.Fatal(err)
	}
	await(fmt.Sprintf("guest filled %d MiB", mib))
}

// stopQEMU stops a zone's QEMU by a signal and returns all processes of the zone.
func stopQEMU(b testing.TB, id uuid.UUID) (pids []int) {
	b.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	stopped := false
	for _, file := range files {
		dir := filepath.Dir(file)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		// Processes that have ended meanwhile have neither.
		environ, _ := os.ReadFile(file)
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if pid == os.Getpid() || !bytes.Contains(environ, []byte(id.String())) {
			continue
		}
		pids = append(pids, pid)
		if bytes.Contains(line, []byte("qemu-system")) {
			stopped = syscall.Kill(pid, syscall.SIGSTOP) == nil
		}
	}
	if !stopped {
		b.Fatalf("there is no QEMU in the zone of VMM %s, only %v", id, pids)
	}
	return pids
}

// awaitGone waits until a process is gone, and with it its memory.
func awaitGone(b testing.TB, pid int) {
	b.Helper()
	for late := time.Now().Add(waitLimit); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if time.Now().After(late) {
			b.Fatalf("process %d is not gone", pid)
		}
		<-time.After(time.Millisecond / 2)
	}
}

// touchedFloor kills n processes that have touched memory, and waits until they are gone.
func touchedFloor(b testing.TB, n, mib int) time.Duration {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmds := make([]*exec.Cmd, n)
	for i := range cmds {
		cmd := exec.Command(self, touchMode, strconv.Itoa(mib))
		cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			b.Fatal("a process has not touched its memory:", err)
		}
		cmds[i] = cmd
	}
	begun := time.Now()
	for _, cmd := range cmds {
		kill(b, cmd)
	}
	for _, cmd := range cmds {
		reap(b, cmd)
	}
	return time.Since(begun)
}

// touchMemory takes memory as QEMU does, in huge pages where the kernel has them, says so on
// standard output, and waits to be killed.
func touchMemory(mib string) error {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return fmt.Errorf("read size of memory: %w", err)
	}
	memory, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("take %d MiB of memory: %w", n, err)
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // A kernel without them refuses.
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	fmt.Println()
	return unix.Pause()
}

// availableMiB returns how much memory the host can give.
func availableMiB(b testing.TB) (n int) {
	b.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatalf("read available memory: %v", err)
	}
	return n >> 10
}

// freeAddr returns an address on which nothing listens.
func freeAddr(b testing.TB) netip.AddrPort {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
