package procstat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/kstat"
)

// line is a /proc/<pid>/stat with what a sample takes from it.
func line(comm string, parent int, utime, stime, cutime, cstime, pages int) string {
	return fmt.Sprintf("1 (%s) S %d 1 1 0 -1 4194560 1 2 3 4 %d %d %d %d 20 0 1 0 12345 1000000 %d 18446744073709551615 1 1",
		comm, parent, utime, stime, cutime, cstime, pages)
}

func lister(infos ...zone.Info) func(context.Context) ([]zone.Info, error) {
	return func(context.Context) ([]zone.Info, error) { return infos, nil }
}

func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("not Linux")
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	onLinux(t)
	s := New(lister(zone.Info{Name: "b", PID: 10}, zone.Info{Name: "a", PID: 20}, zone.Info{Name: "halted"}, zone.Info{Name: "ended", PID: 99}))
	s.proc = t.TempDir()
	for pid, text := range map[string]string{
		"1":   line("init", 0, 9999, 9999, 9999, 9999, 9999),
		"10":  line("sled-zone-init", 1, 1, 2, 3, 4, 10),
		"11":  line("server (1) S 7", 10, 100, 0, 0, 0, 20),
		"12":  line("worker", 11, 0, 50, 0, 0, 30),
		"20":  line("sled-zone-init", 1, 7, 0, 0, 0, 1),
		"21":  line("loops", 22, 1, 0, 0, 0, 1),
		"22":  line("loops", 21, 1, 0, 0, 0, 1),
		"30":  "garbage",
		"net": line("no process", 10, 1000, 0, 0, 0, 0),
	} {
		dir := filepath.Join(s.proc, pid)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page := uint64(os.Getpagesize())
	large, small := 60*page, page
	want := kstat.Sample{Zones: []kstat.Zone{
		{Name: "a", ID: 20, CPU: 70 * time.Millisecond, Resident: &small},
		{Name: "b", ID: 10, CPU: 1600 * time.Millisecond, Resident: &large},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Of this test's own process.
func TestRealProcess(t *testing.T) {
	t.Parallel()
	onLinux(t)
	got, err := New(lister(zone.Info{Name: "me", PID: os.Getpid()})).Sample(t.Context())
	if err != nil || len(got.Zones) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if me := got.Zones[0]; *me.Resident < 1<<20 || *me.Resident > 1<<40 || me.CPU < 0 || me.CPU > time.Hour {
		t.Errorf("%d bytes, %v", *me.Resident, me.CPU)
	}
}

func TestSampleFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		if _, err := New(lister()).Sample(t.Context()); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		return
	}
	broken := errors.New("broken")
	s := New(func(context.Context) ([]zone.Info, error) { return nil, broken })
	if _, err := s.Sample(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a list that fails: %v", err)
	}
	s = New(lister())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sample(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("no time left: %v", err)
	}
	s.proc = "/nonexistent"
	if _, err := s.Sample(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no /proc: %v", err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(line("a b) c", 1, 1, 2, 3, 4, 5)))
	f.Add([]byte(strings.Repeat("1 ", 60)))
	f.Add([]byte(") 1 -1"))
	f.Add([]byte(") S 1" + strings.Repeat(" 9223372036854775807", 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := parseStat(data); err == nil && p.cpu < 0 {
			t.Errorf("%v of CPU time", p.cpu)
		}
	})
}
