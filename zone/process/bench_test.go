//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// floor measures the same work without a zone: start the same server in a session of
// its own and wait until it runs, then SIGKILL, wait, unlink.
func floor(b *testing.B) (boot, removal time.Duration) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "floor")
	begun := time.Now()
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"server", serverMode, "sleep"},
		&syscall.ProcAttr{Dir: dir, Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		b.Fatal(err)
	}
	booted := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if err := os.Remove(dir); err != nil {
		b.Fatal(err)
	}
	return booted.Sub(begun), time.Since(booted)
}

// BenchmarkZone reports the time of a zone's start and removal, absolute and as a
// multiple of the floor.
func BenchmarkZone(b *testing.B) {
	best := newManager(b, "sleep").iso
	for _, iso := range []isolation{best, {}} {
		b.Run(iso.String(), func(b *testing.B) {
			m := without(b, iso, "sleep")
			var boot, removal, floorBoot, floorRemoval time.Duration
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("%sbench-%d", prefix, i)
				begun := time.Now()
				running(b, m, name)
				booted := time.Now()
				remove(b, m, name)
				boot, removal = boot+booted.Sub(begun), removal+time.Since(booted)
				fb, fr := floor(b)
				floorBoot, floorRemoval = floorBoot+fb, floorRemoval+fr
			}
			b.ReportMetric(float64(boot.Microseconds())/float64(b.N), "boot-µs")
			b.ReportMetric(float64(removal.Microseconds())/float64(b.N), "removal-µs")
			b.ReportMetric(float64(floorRemoval.Microseconds())/float64(b.N), "floor-removal-µs")
			b.ReportMetric(float64(boot)/float64(floorBoot), "boot-ratio")
			b.ReportMetric(float64(removal)/float64(floorRemoval), "removal-ratio")
		})
	}
}

// BenchmarkLook looks at one of many running zones.
func BenchmarkLook(b *testing.B) {
	m := newManager(b, "sleep")
	for i := range 20 {
		running(b, m, fmt.Sprintf("%slook-%d", prefix, i))
	}
	ctx := b.Context()
	for b.Loop() {
		if info, err := m.Look(ctx, prefix+"look-7"); err != nil || info.State != zone.Running {
			b.Fatal(info, err)
		}
	}
}
