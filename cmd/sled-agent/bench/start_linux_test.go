package bench

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
)

// BenchmarkStart starts 200 VMMs at once, from the first registration until all run. Zones
// are processes; a guest runs as soon as it is asked to. The floor starts as many PID
// namespaces in a loop: each has an init, a shell, that starts the same server.
func BenchmarkStart(b *testing.B) {
	const n = 200
	var ours, floor sample
	for b.Loop() {
		for range rounds {
			r := newHarness(b, options{zones: openProcess(b)})
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

// forgetAll ends VMMs and waits until they are gone.
func (r *harness) forgetAll(vms []vm) {
	r.b.Helper()
	r.forget(vms)
	r.awaitAll(vms, "forgotten", func(v vm) bool {
		_, err := r.State(v.id)
		return err != nil
	})
}

func startFloor(b testing.TB, n int) time.Duration {
	b.Helper()
	shell := []string{"/bin/sh", "-c", server[0] + " " + server[1] + " & wait"}
	pids := make([]int, n)
	begun := time.Now()
	for i := range pids {
		pid, err := syscall.ForkExec(shell[0], shell, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID}})
		if err != nil {
			b.Fatal(err)
		}
		pids[i] = pid
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
	return took
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
