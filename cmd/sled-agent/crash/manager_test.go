package crash

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
	"github.com/sledagent/sledagent/zone"
	backend "github.com/sledagent/sledagent/zone/process"
)

// zonePrefix begins the name of every zone.
const zonePrefix = "oxz_propolis-server_"

func (v *vm) zone() string { return zonePrefix + v.id.String() }

// manager is somebody else who manages the zones of the sled.
func (l *sled) manager() *backend.Manager {
	l.t.Helper()
	m, err := backend.New(backend.Config{Dir: l.zonesDir(), Prefix: zonePrefix, Self: trial.Path("sled-agent"),
		Argv: []string{trial.Path("propolis-sim"), "run", "{addr}"}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = m.Close() }) // It touches no zone.
	return m
}

// rebootZone ends a zone and boots it again, as if somebody had done so by hand.
func (v *vm) rebootZone() {
	v.t.Helper()
	m, ctx := v.l.manager(), trial.Bounded(v.t, trial.Patience)
	if err := m.Halt(ctx, v.zone()); err != nil {
		v.t.Fatal(err)
	}
	// The agent, if it runs, may have begun to remove the zone by then.
	if err := m.Boot(ctx, v.zone()); err != nil {
		v.t.Logf("boot the zone once more: %v", err)
	}
}

// killZone kills the zone's processes.
func (v *vm) killZone() {
	v.t.Helper()
	for _, p := range mentioning(v.zone(), "cmdline", "environ") {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // One takes the others with it.
	}
}

// removeZoneDir takes the zone's directory away, into which somebody may write
// meanwhile.
func (v *vm) removeZoneDir() {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		if err := os.RemoveAll(filepath.Join(v.l.zonesDir(), v.zone())); err != nil {
			return err.Error()
		}
		return ""
	})
}

// An orphan is a zone that belongs to no VMM.
type orphan struct{ name string }

// orphanDir makes an orphan that is a directory and nothing else.
func (l *sled) orphanDir() orphan {
	l.t.Helper()
	o := orphan{zonePrefix + uuid.NewString()}
	if err := os.MkdirAll(filepath.Join(l.zonesDir(), o.name, "root", "junk"), 0o700); err != nil {
		l.t.Fatal(err)
	}
	return o
}

// orphanZone makes an orphan that runs.
func (l *sled) orphanZone() orphan {
	l.t.Helper()
	o := orphan{zonePrefix + uuid.NewString()}
	m, ctx := l.manager(), trial.Bounded(l.t, trial.Patience)
	if _, err := m.Create(ctx, zone.Spec{Name: o.name, Addr: freeAddr(l.t)}); err != nil {
		l.t.Fatal(err)
	}
	if err := m.Boot(ctx, o.name); err != nil {
		l.t.Fatal(err)
	}
	return o
}

// orphanProcesses makes an orphan that runs and has lost its directory. Only a
// control group holds it then.
func (l *sled) orphanProcesses() orphan {
	l.t.Helper()
	o := l.orphanZone()
	if err := os.RemoveAll(filepath.Join(l.zonesDir(), o.name)); err != nil {
		l.t.Fatal(err)
	}
	if len(cgroups(o.name)) == 0 {
		l.t.Skip("this host grants no control groups")
	}
	return o
}

// left lists what there is of an orphan.
func (o orphan) left(l *sled) []string {
	left := leftovers(o.name)
	if _, err := os.Stat(filepath.Join(l.zonesDir(), o.name)); err == nil {
		left = append(left, "its directory")
	}
	return left
}

// remove removes an orphan that was to be kept.
func (o orphan) remove(t testing.TB, m *backend.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), trial.Patience)
	defer cancel()
	if err := zone.EnsureGone(ctx, m, o.name, zone.Removal{}); err != nil {
		t.Error(err)
	}
}
