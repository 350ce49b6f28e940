package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
)

// durableBudget is how long effects wait for the journal. A disk that is slower
// than this delays no stop; what would begin a life is refused.
const durableBudget = 2 * time.Second

var errLate = errors.New("ledger write exceeded " + durableBudget.String())

// batch is one step that waits to be durable: nothing of it is visible before.
type batch struct {
	state   vmm.State
	zone    ledger.Zone
	effects []vmm.Effect
	caller  *request
	saved   <-chan error
	since   time.Time
	because string
	// unchanged is set if there was nothing to save.
	unchanged bool
}

// begins reports whether the step accepts something that begins a life, which
// must not happen without a record of it.
func (b batch) begins() bool {
	return b.caller != nil && slices.Contains(b.effects, vmm.Effect(vmm.Boot{}))
}

// commit has the present state made durable, unless it is unchanged, and its
// effects carried out then. Deadlines alone are armed at once: they must hold
// whatever the disk does.
func (r *Runner) commit(effects []vmm.Effect, caller *request, unchanged bool) {
	for _, e := range effects {
		switch e := e.(type) {
		case vmm.Arm:
			r.host.Guard.Arm(r.id.String(), e.Deadline.Epoch, e.Deadline.At)
			r.collectBefore(e.Deadline.At)
		case vmm.Disarm:
			r.host.Guard.Disarm(r.id.String())
			r.end(collecting)
		}
	}
	r.point("save", "before")
	b := batch{state: r.state, zone: r.facts, effects: effects, caller: caller, because: r.because, unchanged: unchanged}
	if !unchanged {
		b.saved = r.save(r.state, r.facts)
	}
	b.since = time.Now()
	r.pending = append(r.pending, b)
	if len(r.pending) == 1 && b.saved == nil {
		r.release(nil)
	}
}

// durable returns what the loop has to wait for while steps are pending: the
// journal's result for the oldest, and the end of durableBudget.
func (r *Runner) durable() (saved <-chan error, late <-chan time.Time) {
	if len(r.pending) == 0 {
		return nil, nil
	}
	b := r.pending[0]
	return b.saved, time.After(time.Until(b.since.Add(durableBudget)))
}

// release makes the oldest pending step visible and carries out its effects,
// and those behind it that are durable already. A step that was not made
// durable is carried out all the same, unless it accepts something new.
func (r *Runner) release(err error) {
	for {
		b := r.pending[0]
		r.pending[0] = batch{}
		if r.pending = r.pending[1:]; len(r.pending) == 0 {
			r.pending = nil
		}
		r.because = b.because
		r.point("save", "after")
		switch {
		case err == nil:
			r.show(b, nil)
		case r.view.Load() == nil:
			r.refused = &vmm.Refusal{Reason: vmm.Unwritable, Detail: err.Error()}
			return
		case b.begins():
			r.refuse(b, answer{err: &vmm.Refusal{Reason: vmm.Unwritable, Detail: err.Error()}})
		case b.changes():
			r.refuseChange(b, answer{err: &vmm.Refusal{Reason: vmm.Unwritable, Detail: err.Error()}})
		default:
			r.log.Warn().Err(err).Msg("state is not on disk; continuing without it")
			r.show(b, err)
		}
		if len(r.pending) == 0 || r.pending[0].saved != nil {
			return
		}
		err = nil
	}
}

// refuse takes back a start that could not be saved. Pending steps in the same phase
// were decided as if it had been accepted: they are not shown, and their callers are
// refused as well.
func (r *Runner) refuse(b batch, no answer) {
	was := r.view.Load().state.Ports
	b.caller.answer <- no
	for len(r.pending) > 0 && r.pending[0].state.Phase == vmm.Booting {
		b, r.pending = r.pending[0], r.pending[1:]
		if b.caller != nil {
			b.caller.answer <- no
			continue
		}
		for _, e := range b.effects {
			r.perform(e, nil)
		}
	}
	r.takeBack(was, no)
	r.apply(vmm.Unsaved{}, nil)
}

// show makes a step visible and carries out its effects.
func (r *Runner) show(b batch, unsaved error) {
	v := &view{state: b.state, zone: b.zone}
	was := r.view.Load()
	switch {
	case unsaved != nil:
		v.unsaved = b.since
	case b.unchanged && was != nil:
		v.unsaved = was.unsaved
	case !b.unchanged && b.state.Phase >= vmm.Ensuring:
		r.saved.booted = true
	}
	r.view.Store(v)
	if was == nil {
		if j, ok := r.host.Journal.(keeper); ok && j.Keeps(r.id) {
			r.saved.release()
		}
		close(r.ready)
	}
	if was != nil {
		r.bundle(was.state, b.state)
	}
	for _, e := range b.effects {
		r.perform(e, b.caller)
	}
}

// point is a place where a crash test may kill the agent.
func (r *Runner) point(what, when string) {
	if failpoint.Enabled {
		failpoint.Here(what + "/" + r.because + "/" + when)
	}
}

// saved is the entry that the journal was given last. The loop saves states, and
// effects wait for them. The progress of the removal is saved by the removal itself,
// which is independent of the loop and does not wait: the next process finds out
// what was not saved of it.
type saved struct {
	// mu keeps the entries in order. Saving only hands over; it does no I/O.
	mu sync.Mutex
	// entry has the registration until that is on disk, from where a start reads
	// it: the registrations of many VMMs would take much memory.
	entry ledger.Entry
	// live is set from the first save to the last.
	live bool
	// incarnation is that of the newest entry, booted reports whether it is on disk
	// that the zone was booted. They are the loop's.
	incarnation string
	booted      bool
}

// resume sets what the last process has saved.
func (s *saved) resume(e ledger.Entry, removal *vmm.RemovalStatus) {
	s.entry, s.incarnation, s.live = e, e.Zone.Incarnation, true
	s.booted = e.State.Phase >= vmm.Ensuring
	s.entry.Removal = removal
}

// release drops the registration, which is on disk.
func (s *saved) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entry.Registration = nil
}

// registration is the one that is in memory, if it still is.
func (s *saved) registration() *vmm.Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entry.Registration
}

// save begins to make a state durable.
func (r *Runner) save(s vmm.State, z ledger.Zone) <-chan error {
	r.saved.mu.Lock()
	defer r.saved.mu.Unlock()
	e := &r.saved.entry
	e.Identity, e.State, e.Zone, e.Acked, e.Removal = r.who, s.Kept(), z, s.Acked, r.notes.removed()
	r.saved.live = true
	r.saved.incarnation = z.Incarnation
	return r.host.Journal.Save(r.id, *e)
}

// saveAgain saves the newest state until it is on disk, and reports false if ctx
// ends first. The VM is not given to Propolis before: the next process would assume
// that nothing has run in the zone, and make it anew.
func (r *Runner) saveAgain(ctx context.Context, tell func(report)) bool {
	r.event("starting", "Propolis is given the VM when the ledger can be written")
	again := newPause(time.Second, 5*time.Second)
	for pause(ctx, again.NextBackOff()) {
		select {
		case err := <-r.saveNewest():
			if err == nil {
				return true
			}
		case <-ctx.Done():
		}
	}
	tell(startFailed("save that the zone was booted", context.Cause(ctx)))
	return false
}

func (r *Runner) saveNewest() <-chan error {
	r.saved.mu.Lock()
	defer r.saved.mu.Unlock()
	saved := make(chan error)
	if r.saved.live {
		if saved := r.host.Journal.Save(r.id, r.saved.entry); saved != nil {
			return saved
		}
		close(saved)
	}
	return saved // never, if it is forgotten
}

// quickRemoval is how long a removal may take before its progress is saved beside the
// states: many that begin at one moment would delay each other by saving what is over a
// moment later.
const quickRemoval = time.Second

// saveRemoval saves the progress of a removal that fails or takes long, unless the last
// attempt ended like the one before.
func (r *Runner) saveRemoval() {
	failpoint.Here("beside/removal/before")
	defer failpoint.Here("beside/removal/after")
	r.saved.mu.Lock()
	defer r.saved.mu.Unlock()
	e := &r.saved.entry
	was, is := e.Removal, r.notes.removed()
	if is != nil && is.LastError == "" && (was == nil || was.LastError == "") && time.Since(is.Begun) < quickRemoval {
		return
	}
	news := is != nil && (was == nil || !was.Begun.Equal(is.Begun) || was.Rung != is.Rung ||
		was.ZoneState != is.ZoneState || was.LastError != is.LastError || (was.Gone == nil) != (is.Gone == nil))
	if news && r.saved.live {
		e.Removal = is
		r.host.Journal.Save(r.id, *e) // the result is not waited for
	}
}

// drop has the journal forget the VMM, and keeps a late save from restoring it.
func (r *Runner) drop(last *vmm.Status) {
	r.saved.mu.Lock()
	defer r.saved.mu.Unlock()
	r.saved.entry, r.saved.live = ledger.Entry{}, false
	r.host.Journal.Drop(r.id, last)
}
