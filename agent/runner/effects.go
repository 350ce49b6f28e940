package runner

import (
	"context"
	"fmt"

	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
)

// report is what an effect has to say. One whose slot has been taken by another
// effect since is not heard.
type report struct {
	slot *slot
	turn uint64
	in   vmm.Input
	then func(*Runner) // runs in the loop before the step; may be nil
}

// slot holds one effect of a kind at a time.
type slot struct {
	turn   uint64
	cancel context.CancelFunc
}

// occupy begins an effect in a slot, in the place of what is under way there.
func (r *Runner) occupy(s *slot, effect func(context.Context, func(report))) {
	if s.cancel != nil {
		s.cancel()
	}
	ctx, cancel := context.WithCancel(r.work)
	s.turn, s.cancel = s.turn+1, cancel
	turn := s.turn
	go func() {
		defer cancel()
		effect(ctx, func(m report) {
			m.slot, m.turn = s, turn
			r.send(m)
		})
	}()
}

// send gives a report to the loop and waits until it was taken, or the loop has ended.
func (r *Runner) send(m report) {
	select {
	case r.reports <- m:
	case <-r.ended:
	}
}

func (r *Runner) hear(m report) {
	if m.slot != nil && m.slot.turn != m.turn {
		return
	}
	if m.then != nil {
		m.then(r)
	}
	if m.in != nil {
		r.apply(m.in, nil)
	}
}

// perform starts one effect. Deadlines were armed before (see commit).
func (r *Runner) perform(e vmm.Effect, caller *request) {
	if failpoint.Enabled {
		failpoint.Here(fmt.Sprintf("effect/%T", e))
	}
	switch e := e.(type) {
	case vmm.Arm, vmm.Disarm:
	case vmm.Boot:
		r.begin(r.boot)
	case vmm.Ensure:
		links := r.facts.Links
		r.begin(func(ctx context.Context) report { return r.ensure(ctx, links) })
	case vmm.Adopt:
		r.occupy(&r.adoption, r.adopt)
	case vmm.Ask:
		r.occupy(&r.ask, func(ctx context.Context, tell func(report)) { r.put(ctx, e.Action, tell) })
	case vmm.Watch:
		r.occupy(&r.watch, r.observe)
	case vmm.Remove:
		r.remove()
	case vmm.Publish:
		r.publish()
	case vmm.Disown:
		r.host.Publisher.Drop(r.id)
	case vmm.Forget:
		r.forgotten = true
	case vmm.Answer:
		r.reply(e.To, caller, answer{record: r.view.Load().state.Record})
	case vmm.Hold:
		r.hold(e.As, caller)
	case vmm.Refuse:
		r.reply(e.To, caller, answer{err: r.refusal(e)})
	}
}

// remove has the removal begun, unless one that was begun by the watchdog has
// come to its end meanwhile: then its report is on its way, or was heard.
func (r *Runner) remove() {
	if r.state.Phase < vmm.Ended && r.removals.Load() == r.heard {
		r.host.Guard.Remove(r.id.String())
	}
}

func (r *Runner) refusal(e vmm.Refuse) error {
	if e.ByPropolis && r.rebootErr != nil {
		return r.rebootErr
	}
	return &vmm.Refusal{Reason: e.Reason, Detail: e.Detail}
}

// publish offers the record to Nexus. Its result comes back as a report, in
// whatever phase the VMM is by then.
func (r *Runner) publish() {
	r.host.Publisher.Offer(r.id, r.view.Load().state.Record, func(res publish.Result) {
		var in vmm.Input = vmm.Acked{Gen: res.Gen}
		if res.GaveUp {
			in = vmm.GaveUp{Gen: res.Gen}
		} else {
			r.saveAcked(res.Gen)
		}
		r.send(report{in: in})
	})
}
