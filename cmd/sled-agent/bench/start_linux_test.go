package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
)

// BenchmarkStart starts 200 VMMs at once, from the first registration until all run. Zones
// are processes; a guest runs as soon as it is asked to. The floor starts as many zones of the
// same isolation in a loop: each has control groups of its own, if the agent's zones have, and
// a PID namespace whose init, a shell, starts the same server; it ends when the last server is
// about to be executed. It makes no files, saves nothing and reports nothing.
//
// The zones' files are in memory: ext4 looks at each inode that was deleted in the last minutes
// before it makes a file, and rounds that delete what they made are such minutes.
func BenchmarkStart(b *testing.B) {
	const n = 200
	var ours, floor sample
	for b.Loop() {
		for range rounds {
			m := openProcessIn(b, memoryDir(b))
			r := newHarness(b, options{zones: m})
			begun := time.Now()
			vms := r.startInMemory(n)
			ours = append(ours, time.Since(begun))
			r.forgetAll(vms)
			r.close()
			floor = append(floor, startFloor(b, n))
		}
	}
	x := ms(ours.median()) / ms(floor.median())
	metrics(b, map[string]float64{"ms": ms(ours.median()), "max-ms": ms(ours.max()), "floor-ms": ms(floor.median()), "x-floor": x})
}

// memoryDir returns a new directory in memory.
func memoryDir(b testing.TB) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sled-agent-bench")
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// forgetAll ends VMMs and waits until they are gone.
func (r *harness) forgetAll(vms []vm) {
	r.b.Helper()
	r.forget(vms)
	r.awaitAll(vms, "forgotten", func(v vm) bool {
		_, err := r.State(v.id)
		return err != nil
	})
}

// startFloor starts n zones, ends them, and returns how long their start took.
func startFloor(b testing.TB, n int) time.Duration {
	b.Helper()
	groups := zoneGroups(b)
	executed, theirs, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer executed.Close()
	pids := make([]int, n)
	begun := time.Now()
	for i := range pids {
		pids[i] = startBare(b, theirs, groups, i)
	}
	theirs.Close()
	if _, err := io.Copy(io.Discard, executed); err != nil { // until every server is executed
		b.Fatal(err)
	}
	took := time.Since(begun)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			b.Error(err)
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			b.Error(err)
		}
	}
	for i := range pids {
		for _, group := range groups {
			if err := syscall.Rmdir(fmt.Sprint(group, i)); err != nil {
				b.Error(err)
			}
		}
	}
	return took
}

// startBare starts one zone. Its server inherits the pipe until it is executed.
func startBare(b testing.TB, pipe *os.File, groups []string, i int) int {
	b.Helper()
	shell := []string{"/bin/sh", "-c", strings.Join(server, " ") + " 3>&- & exec 3>&-; wait"}
	pid, err := syscall.ForkExec(shell[0], shell, &syscall.ProcAttr{Files: []uintptr{0, 1, 2, pipe.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID}})
	if err != nil {
		b.Fatal(err)
	}
	for _, group := range groups {
		group = fmt.Sprint(group, i)
		err := os.Mkdir(group, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return pid
}

// zoneGroups returns how the paths of control groups begin that are beside those of zones.
func zoneGroups(b testing.TB) []string {
	b.Helper()
	z := bareZones(b, 1)[0]
	if err := syscall.Kill(z.pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	_, _ = syscall.Wait4(z.pid, nil, 0, nil)
	for i, group := range z.groups {
		if err := syscall.Rmdir(group); err != nil {
			b.Fatal(err)
		}
		z.groups[i] = group + "."
	}
	return z.groups
}

// BenchmarkAdopt starts an agent with 1,000 VMMs in its ledger whose zones, processes, live.
// Each has a deadline. It reports how long after its start the first VMM's state can be read,
// all deadlines are armed, and all zones are held. The floor reads the ledger's file and
// opens a pidfd for each zone.
func BenchmarkAdopt(b *testing.B) {
	if testing.Short() {
		b.Skip("a thousand VMMs")
	}
	const n = 1000
	dir, zones := b.TempDir(), b.TempDir()
	m := openProcessIn(b, zones)
	r := newHarness(b, options{zones: m, dir: dir})
	vms := r.startInMemory(n)
	r.stopAll(vms, time.Now().Add(50*time.Minute))
	var first, armed, held, floor sample
	for b.Loop() {
		for range rounds {
			r.close()
			_ = m.Close()
			begun := time.Now()
			m = openProcessIn(b, zones)
			r = newHarness(b, options{zones: m, dir: dir})
			if _, err := r.State(vms[n-1].id); err != nil {
				b.Fatal(err)
			}
			first = append(first, time.Since(begun))
			r.awaitAll(vms[:1], "armed", func(vm) bool { return r.Watchdog().Armed >= n })
			armed = append(armed, time.Since(begun))
			pids := make([]int, n)
			r.awaitAll(vms, "adopted", func(v vm) bool {
				s, err := r.Show(v.id)
				return err == nil && s.PID != 0
			})
			held = append(held, time.Since(begun))
			for i, v := range vms {
				s, err := r.Show(v.id)
				if err != nil {
					b.Fatal(err)
				}
				pids[i] = s.PID
			}
			floor = append(floor, adoptFloor(b, dir, pids))
		}
	}
	x := ms(held.median()) / ms(floor.median())
	metrics(b, map[string]float64{"first-ms": ms(first.median()), "armed-ms": ms(armed.median()),
		"held-ms": ms(held.median()), "floor-ms": ms(floor.median()), "x-floor": x})
	r.forgetAll(vms)
}

func adoptFloor(b testing.TB, dir string, pids []int) time.Duration {
	b.Helper()
	begun := time.Now()
	if _, err := os.ReadFile(filepath.Join(dir, ledger.FileName)); err != nil {
		b.Fatal(err)
	}
	fds := openAll(b, pids)
	took := time.Since(begun)
	closeAll(fds)
	return took
}
