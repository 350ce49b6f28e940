package crash

import (
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A VMM whose Propolis hangs when the agent starts delays no other VMM's
// adoption. It is shown for what it is, and its stop keeps its deadline (Q, S, D).
func TestAdoptionOfAHungServer(t *testing.T) {
	slow(t)
	t.Parallel()
	l := newSled(t, setup{})
	hung, others := l.newVM(t), make([]*vm, 6)
	hung.launch()
	for i := range others {
		others[i] = l.newVM(t)
		others[i].launch()
	}
	if err := syscall.Kill(hung.server.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	l.crash()
	began := time.Now()
	for _, v := range others {
		v.speaks()
	}
	// It is less than 1 s on an idle host; whoever waits for the server that hangs
	// waits for 10 s.
	if took, limit := trial.Own(began, time.Now()), 3*time.Second; took > limit {
		t.Errorf("the other VMMs were adopted after %v, want %v at most", took, limit)
	}
	trial.Until(t, trial.Patience, func() string {
		if p := hung.status().Propolis; p == nil || p.SilentSince == nil {
			return "the server that hangs is not shown as silent"
		}
		return ""
	})
	if state := hung.record().VMM.State; state != vmm.WireRunning {
		t.Errorf("the VMM whose server hangs is %s; its guest may be fine", state)
	}
	for _, v := range others {
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}
	hung.removedOnTime(hung.stop(grace))
	hung.ends(vmm.WireDestroyed)
	l.conclude()
}

// status is all that the agent says of the VMM, once it has loaded its ledger.
func (v *vm) status() (s vmm.Status) {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		var err error
		if s, err = v.l.admin.Show(trial.Bounded(v.t, trial.Patience), v.id); err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

// speaks waits until the agent has heard of the VM from its server since it
// adopted it.
func (v *vm) speaks() {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		for _, e := range v.status().Events {
			if e.Kind == "observed" {
				return ""
			}
		}
		return "of VMM " + v.id.String() + " nothing has been observed"
	})
}
