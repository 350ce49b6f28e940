package runner

import (
	"errors"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
)

var errLate = errors.New("the disk takes too long")

// batch is one step that waits to be durable: nothing of it is visible before.
type batch struct {
	state   vmm.State
	zone    ledger.Zone
	effects []vmm.Effect
	caller  *request
	saved   <-chan error
	since   time.Time
	because string
}

// commit has the present state made durable, unless it is unchanged, and its
// effects carried out then. Deadlines alone are armed at once: they must hold
// whatever the disk does.
func (r *Runner) commit(effects []vmm.Effect, caller *request, unchanged bool) {
	for _, e := range effects {
		switch e := e.(type) {
		case vmm.Arm:
			r.host.Guard.Arm(r.id.String(), e.Deadline.Epoch, e.Deadline.At)
		case vmm.Disarm:
			r.host.Guard.Disarm(r.id.String())
		}
	}
	r.point("save", "before")
	b := batch{state: r.state, zone: r.facts, effects: effects, caller: caller, since: time.Now(), because: r.because}
	if !unchanged {
		b.saved = r.save(r.state, r.facts)
	}
	r.pending = append(r.pending, b)
	if len(r.pending) == 1 && b.saved == nil {
		r.release(nil)
	}
}

// durable returns what the loop has to wait for while steps are pending: the
// journal's word on the oldest, and the end of its patience.
func (r *Runner) durable() (saved <-chan error, late <-chan time.Time) {
	if len(r.pending) == 0 {
		return nil, nil
	}
	b := r.pending[0]
	return b.saved, time.After(time.Until(b.since.Add(durableBudget)))
}

// release makes the oldest pending step visible and carries out its effects,
// and those behind it that are durable already.
func (r *Runner) release(err error) {
	for {
		b := r.pending[0]
		r.pending[0] = batch{}
		if r.pending = r.pending[1:]; len(r.pending) == 0 {
			r.pending = nil
		}
		v := &view{state: b.state, zone: b.zone}
		if err != nil {
			v.degraded = "not durable: " + err.Error()
			r.log.Warn().Err(err).Msg("carrying on without durability")
		}
		r.because = b.because
		r.point("save", "after")
		if r.view.Swap(v) == nil {
			close(r.ready)
		}
		for _, e := range b.effects {
			r.perform(e, b.caller)
		}
		if len(r.pending) == 0 || r.pending[0].saved != nil {
			return
		}
		err = nil
	}
}

// point is where a crash test may kill the agent.
func (r *Runner) point(what, when string) {
	if failpoint.Enabled {
		failpoint.Here(what + "/" + r.because + "/" + when)
	}
}
