package runner

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
)

// request is a request of a caller, with a channel for the answer.
type request struct {
	ctx    context.Context
	in     vmm.Input
	answer chan<- answer // of size 1, so that answering never waits
}

// by returns who made a request; empty for an input that is none.
func (q *request) by() vmm.Who {
	if q == nil {
		return ""
	}
	return caller.Of(q.ctx, "")
}

type answer struct {
	record vmm.Record
	err    error
}

// Do puts a request to the VMM and waits for the answer: the record as it is
// then, or a *vmm.Refusal, or Propolis's *propolis.Error. When ctx ends first,
// the request is carried out all the same and the error is a Refusal (TimedOut).
func (r *Runner) Do(ctx context.Context, in vmm.Input) (vmm.Record, error) {
	answers := make(chan answer, 1)
	if err := r.post(request{ctx, in, answers}); err != nil {
		return vmm.Record{}, err
	}
	select {
	case a := <-answers:
		return a.record, a.err
	case <-ctx.Done():
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.TimedOut, Detail: "no answer to " + in.Kind().String()}
	case <-r.ended:
	}
	select {
	case a := <-answers:
		return a.record, a.err
	default:
		return vmm.Record{}, r.gone()
	}
}

// post puts a request into its queue. Stops wait for the loop; other requests are
// refused when their queue is full.
func (r *Runner) post(q request) error {
	switch q.in.(type) {
	case vmm.Stop, vmm.Unregister, vmm.Kill:
		select {
		case r.urgent <- q:
			return nil
		case <-r.ended:
			return r.gone()
		case <-q.ctx.Done():
			return &vmm.Refusal{Reason: vmm.TimedOut, Detail: "not taken up"}
		}
	default:
		select {
		case r.requests <- q:
			return nil
		case <-r.ended:
			return r.gone()
		default:
			return &vmm.Refusal{Reason: vmm.Busy}
		}
	}
}

// Slept reports to the VMM that the host was suspended, in which time the process's
// clock stood still, and with it the VMM's deadline.
func (r *Runner) Slept(d time.Duration) { r.send(report{in: vmm.Slept{For: d}}) }

// Refused is why the registration was not accepted, nil if it was. It must not be
// called before Ended is closed.
func (r *Runner) Refused() error { return r.refused }

// gone is why the Runner accepts no request any more.
func (r *Runner) gone() error {
	if r.host.Life.Err() != nil {
		return &vmm.Refusal{Reason: vmm.Draining}
	}
	return &vmm.Refusal{Reason: vmm.Unknown}
}

// hold keeps a caller until its group is answered; callers whose context has ended
// are dropped.
func (r *Runner) hold(as vmm.Callers, q *request) {
	waiting := slices.DeleteFunc(r.held[as], func(h request) bool { return h.ctx.Err() != nil })
	r.held[as] = append(waiting, *q)
}

// reply answers the caller of this step, or all callers of a group.
func (r *Runner) reply(to vmm.Callers, caller *request, a answer) {
	if to == vmm.Caller {
		if caller != nil {
			caller.answer <- a
		}
		return
	}
	for _, h := range r.held[to] {
		h.answer <- a
	}
	delete(r.held, to)
}

// Snapshot has Propolis make a snapshot of a disk, in the caller's goroutine: it
// does not change the VMM's state, and one that hangs must not delay the loop.
func (r *Runner) Snapshot(ctx context.Context, disk string, snapshot uuid.UUID) error {
	if v := r.view.Load(); v == nil || v.state.Phase != vmm.Active && v.state.Phase != vmm.Stopping {
		return &vmm.Refusal{Reason: vmm.NotRunning, Detail: "it has no VM to snapshot a disk of"}
	}
	select {
	case r.snaps <- struct{}{}:
		defer func() { <-r.snaps }()
	default:
		return &vmm.Refusal{Reason: vmm.Busy, Detail: "too many snapshots at once"}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.work, cancel)()
	return r.client.Snapshot(ctx, disk, snapshot)
}
