//go:build linux

package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

// starvedMode makes the test binary an agent without free descriptors.
const starvedMode = "be-starved"

// An agent whose table of descriptors is full may fail to look at its running zones,
// but must never report that one has ended. It is a process of its own, since the
// table belongs to the whole process.
func TestFullDescriptorTableEndsNothing(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		dir := t.TempDir()
		m := withoutIn(t, dir, iso, "sleep")
		for i := range 8 {
			running(t, m, fmt.Sprintf("%sstarved-%d", prefix, i))
		}
		cmd := exec.Command("/proc/self/exe", starvedMode, dir, fmt.Sprint(iso.pidns), iso.cgroups)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		for i := range 8 {
			if info := look(t, m, fmt.Sprintf("%sstarved-%d", prefix, i)); info.State != zone.Running {
				t.Errorf("afterwards: %+v", info)
			}
		}
	})
}

// actAsStarved looks at the zones below dir, some of them watched, with fewer and fewer
// descriptors, and exits with an error if one is reported as ended.
func actAsStarved(dir string, iso isolation) {
	m, err := New(Config{Dir: dir, Prefix: prefix, Log: zerolog.Nop(), Argv: []string{"/bin/true"}})
	check(err)
	m.iso = iso
	m.Watch(prefix+"starved-0", func(e zone.End) { check(fmt.Errorf("watch reported an end: %v", e)) })
	check(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}))
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	for free := range 10 {
		if free > 0 {
			check(held[free-1].Close())
		}
		starved(m, free)
	}
	check(held[20].Close()) // for a clean end
}

func starved(m *Manager, free int) {
	ctx := ctxFor(noT{})
	infos, err := m.List(ctx)
	if err == nil && len(infos) != 8 {
		check(fmt.Errorf("with %d free descriptors %d zones are listed", free, len(infos)))
	}
	for _, info := range infos {
		if info.State != zone.Running && info.State != zone.Unknown {
			check(fmt.Errorf("with %d free descriptors it is listed as %+v", free, info))
		}
	}
	// Concurrently, so that descriptors run out at any moment of a look.
	var looks sync.WaitGroup
	for i := range 8 {
		looks.Go(func() {
			for range 20 {
				starvedZone(ctx, m, fmt.Sprintf("%sstarved-%d", prefix, i))
			}
		})
	}
	looks.Wait()
}

func starvedZone(ctx context.Context, m *Manager, name string) {
	if info, err := m.Look(ctx, name); err == nil && info.State != zone.Running {
		check(fmt.Errorf("%s runs and is seen as %+v", name, info))
	}
	_, err := m.Create(ctx, spec(name))
	for verb, err := range map[string]error{"uninstalled": m.Remove(ctx, zone.RungUninstall, name), "deleted": m.Remove(ctx, zone.RungDelete, name),
		"booted": m.Boot(ctx, name), "made": err} {
		if err == nil {
			check(fmt.Errorf("%s runs and is %s", name, verb))
		}
	}
}

// noT lets helpers be used outside of a test.
type noT struct{ testing.TB }

func (noT) Cleanup(func()) {}

// A zone with a record, directory or file that cannot be read is neither absent nor
// incomplete.
func TestUnreadableFilesAreNoState(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 && os.Getenv(asNobody) == "" {
		t.Skip("run by TestWithoutPrivileges")
	}
	m := newManager(t, "sleep")
	name := prefix + "closed"
	running(t, m, name)
	dir := m.zoneDir(name)
	other := newManagerIn(t, m.dir, "sleep")
	for path, mode := range map[string]os.FileMode{dir: 0, dir + "/boot.json": 0, dir + "/config.json": 0, m.dir: 0o300} {
		was, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*Manager{m, other} {
			if info, err := m.Look(ctxFor(t), name); err == nil && info.State != zone.Running {
				t.Errorf("with %s closed it is %+v", path, info)
			}
			infos, err := m.List(ctxFor(t))
			if err == nil && (len(infos) != 1 || infos[0].State != zone.Running && infos[0].State != zone.Unknown) {
				t.Errorf("with %s closed %+v are listed", path, infos)
			}
		}
		if err := os.Chmod(path, was.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}
