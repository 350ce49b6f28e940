package runner

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// request is somebody's wish, with a place for the answer.
type request struct {
	ctx    context.Context
	in     vmm.Input
	answer chan<- answer // of size 1, so that answering never waits
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

// post puts a request into its lane. The lane of stops is never full; the other
// one sheds what does not fit.
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

// gone says why the Runner takes nothing any more.
func (r *Runner) gone() error {
	if r.host.Life.Err() != nil {
		return &vmm.Refusal{Reason: vmm.Draining}
	}
	return &vmm.Refusal{Reason: vmm.Unknown}
}

func (r *Runner) serve(q request) { r.apply(q.in, &q) }

// hold keeps a caller until his group is answered; callers that have left are
// forgotten.
func (r *Runner) hold(as vmm.Callers, q *request) {
	waiting := slices.DeleteFunc(r.held[as], func(h request) bool { return h.ctx.Err() != nil })
	r.held[as] = append(waiting, *q)
}

// reply answers the caller of this step, or everybody of a group.
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

// Snapshot has Propolis make a snapshot of a disk, in the caller's goroutine:
// it changes nothing of the VMM's state, and a hung one must not stand in
// anybody's way.
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
