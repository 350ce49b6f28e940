package crash

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// noticed is how soon the agent notices what was done behind its back, if it
// runs, or if it starts after that.
const noticed = 5 * time.Second

// What is done to a VMM's zone behind the agent's back ends the VMM, and as a
// death that nobody has asked for (R, T).
func TestZoneChangedBehindTheAgentsBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*vm){
		"its processes are killed":   (*vm).killZone,
		"its directory is removed":   (*vm).removeZoneDir,
		"it is halted and booted":    (*vm).rebootZone,
		"it is killed and taken off": func(v *vm) { v.killZone(); v.removeZoneDir() },
	} {
		t.Run(name+" while the agent runs", func(t *testing.T) {
			t.Parallel()
			l := newSled(t, setup{})
			v, other := l.newVM(t), l.newVM(t)
			v.launch()
			other.launch()
			v.endsNow()
			since := time.Now()
			change(v)
			v.failedSince(since)
			other.isFine()
		})
		t.Run(name+" while it is down", func(t *testing.T) {
			t.Parallel()
			l := newSled(t, setup{})
			v, other := l.newVM(t), l.newVM(t)
			v.launch()
			other.launch()
			v.endsNow()
			l.kill()
			change(v)
			since := time.Now()
			l.revive(l.now())
			v.failedSince(since)
			other.isFine()
		})
	}
}

// A stop that was accepted still ends as one (T).
func TestZoneKilledWhileStopping(t *testing.T) {
	t.Parallel()
	l := newSled(t, setup{modes: []string{"ignore-stop"}})
	v := l.newVM(t)
	v.launch()
	v.stop(never)
	l.kill()
	v.killZone()
	l.revive(l.now())
	v.ends(vmm.WireDestroyed)
	l.conclude()
}

// failedSince checks that the VMM has failed soon after a moment.
func (v *vm) failedSince(since time.Time) {
	v.t.Helper()
	v.ends(vmm.WireFailed)
	row, _ := v.l.nexus.Row(v.id)
	if took := trial.Own(since, row.History[len(row.History)-1].At); took > noticed {
		v.t.Errorf("it took the agent %v to notice", took)
	}
}

// isFine checks that a VMM to which nothing was done lives on, and ends it.
func (v *vm) isFine() {
	v.t.Helper()
	if state := v.record().VMM.State; state != vmm.WireRunning {
		v.t.Errorf("VMM %s, to which nothing was done, is %s", v.id, state)
	}
	v.stop(never)
	v.row("destroyed", func(r nexussim.Row) bool { return r.State() == vmm.WireDestroyed })
	v.ends(vmm.WireDestroyed)
	v.l.conclude()
}

var orphans = map[string]func(*sled) orphan{
	"a directory":              (*sled).orphanDir,
	"a zone that runs":         (*sled).orphanZone,
	"processes without a zone": (*sled).orphanProcesses,
}

// Zones of the agent's prefix that belong to no VMM are removed (Z, L).
func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	for name, arrive := range orphans {
		for _, down := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " while the agent is down", false: " while it runs"}[down], func(t *testing.T) {
				t.Parallel()
				l := newSled(t, setup{})
				v := l.newVM(t)
				v.launch()
				var o orphan
				if down {
					l.kill()
					o = arrive(l)
					l.revive(l.now())
				} else {
					l.unaware(func() { o = arrive(l) })
				}
				trial.Until(t, noticed, func() string { return strings.Join(o.left(l), ", ") })
				v.isFine()
			})
		}
	}
}

// unaware does something while the agent runs and cannot see it half done.
func (l *sled) unaware(do func()) {
	l.t.Helper()
	process := l.now().cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = process.Signal(syscall.SIGCONT) }() // It is not let go otherwise.
	do()
}

// Somebody who wants to keep orphans may; they are reported all the same.
func TestOrphansAreKept(t *testing.T) {
	t.Parallel()
	l := newSled(t, setup{orphans: "keep"})
	v := l.newVM(t)
	v.launch()
	l.kill()
	var kept []orphan
	for _, arrive := range orphans {
		kept = append(kept, arrive(l))
	}
	l.revive(l.now())
	for _, o := range kept {
		trial.Until(t, noticed, func() string {
			if !strings.Contains(l.now().said(), o.name) {
				return "the log does not speak of " + o.name
			}
			return ""
		})
	}
	v.stop(never)
	v.ends(vmm.WireDestroyed)
	for _, o := range kept {
		if len(o.left(l)) == 0 {
			t.Errorf("%s was to be kept, and is gone", o.name)
		}
		o.remove(t, l.manager())
	}
	l.conclude()
}
