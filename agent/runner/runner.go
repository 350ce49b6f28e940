package runner

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

const (
	// mailboxSize is how many requests of one VMM may wait, as many as in the
	// reference. The loop never waits, so that only a storm fills it.
	mailboxSize = 32
	// durableBudget is how long effects wait for the journal. A disk that is
	// slower than this delays no stop: it is carried out and said to be degraded.
	durableBudget = 2 * time.Second
	// snapshotsAtOnce is how many disk snapshots of one VMM may be under way.
	snapshotsAtOnce = 4
)

// A Runner owns one VMM. Its exported methods are safe for concurrent use.
type Runner struct {
	id     uuid.UUID
	zone   string
	reg    *wire.Registration
	host   *Host
	log    zerolog.Logger
	client Propolis

	urgent   chan request
	requests chan request
	reports  chan report
	// ready is closed when the registration is durable, ended when the loop has ended.
	ready chan struct{}
	ended chan struct{}
	view  atomic.Pointer[view]
	notes notes
	kept  kept
	snaps chan struct{}

	// work ends when the VMM's removal begins.
	work       context.Context
	cancelWork context.CancelFunc
	starting   starting
	// removals counts the removals that have found nothing left. Each is followed
	// by a report; heard counts those that the loop has taken up.
	removals atomic.Int64

	// What follows belongs to the loop.
	heard    int64
	state    vmm.State
	pending  []batch
	held     map[vmm.Callers][]request
	start    slot
	ask      slot
	watch    slot
	adoption slot
	facts    ledger.Zone
	unwatch  func()
	// because names what the step under way comes from, for crash tests.
	because   string
	rebootErr error
	forgotten bool
}

// view is what readers see: the newest state that is durable.
type view struct {
	state    vmm.State
	zone     ledger.Zone
	degraded string
}

// New makes the Runner of a VMM that has just been registered and starts it.
// Ready tells when its registration is durable.
func New(h *Host, id uuid.UUID, reg *wire.Registration) *Runner {
	r := newRunner(h, id, reg)
	r.state = vmm.New(reg.Runtime, reg.MigrationID, h.Limits, time.Now())
	r.event("registered", reg.Hostname)
	go r.loop(nil)
	return r
}

// Adopt makes the Runner of a VMM that the ledger holds and starts it where it was.
func Adopt(h *Host, e ledger.Loaded) *Runner {
	r := newRunner(h, e.ID, e.Registration)
	r.state, r.facts, r.kept.entry = e.State, e.Zone, e.Entry
	r.notes.resume(e.Entry)
	r.kept.entry.Removal = r.notes.removed()
	h.Publisher.Acknowledged(e.ID, e.Acked)
	r.view.Store(&view{state: e.State, zone: e.Zone})
	close(r.ready)
	var in vmm.Input = vmm.Resumed{}
	if e.HostRebooted {
		in = vmm.HostRebooted{}
	}
	r.event("adopted", "in phase "+e.State.Phase.String())
	go r.loop(in)
	return r
}

// newRunner makes a Runner that the watchdog knows, without a state.
func newRunner(h *Host, id uuid.UUID, reg *wire.Registration) *Runner {
	r := &Runner{
		id: id, zone: h.Prefix + id.String(), reg: reg, host: h,
		log:    h.Log.With().Stringer("vmm", id).Logger(),
		client: h.Propolis(reg.PropolisAddr),
		urgent: make(chan request), requests: make(chan request, mailboxSize),
		reports: make(chan report), ready: make(chan struct{}), ended: make(chan struct{}),
		snaps: make(chan struct{}, snapshotsAtOnce),
		held:  map[vmm.Callers][]request{},
	}
	r.work, r.cancelWork = context.WithCancel(h.Life)
	h.Guard.Add(id.String(), r)
	return r
}

// Instance is the id of the instance that the VMM belongs to.
func (r *Runner) Instance() uuid.UUID { return r.reg.InstanceID }

// Registration is what the VMM was registered with. It must not be changed.
func (r *Runner) Registration() *wire.Registration { return r.reg }

// State is the VMM's record as it was made durable last, and how far it is in
// its life. It tells false until the registration itself is durable.
func (r *Runner) State() (vmm.Record, vmm.Phase, bool) {
	v := r.view.Load()
	if v == nil {
		return vmm.Record{}, vmm.Registered, false
	}
	return v.state.Record, v.state.Phase, true
}

// Ready is closed when the registration is durable and may be seen.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Ended is closed when the Runner is at its end: the VMM is forgotten, or the agent exits.
func (r *Runner) Ended() <-chan struct{} { return r.ended }

// loop is the VMM's goroutine. It begins with an input, or with saving the state
// of a VMM that is new.
func (r *Runner) loop(first vmm.Input) {
	defer close(r.ended)
	defer r.client.Close()
	defer r.cancelWork()
	if first != nil {
		r.apply(first, nil)
	} else {
		r.because = "Register"
		r.commit(nil, nil, false)
	}
	for !r.over() {
		select {
		case q := <-r.urgent:
			r.serve(q)
			continue
		default:
		}
		saved, late := r.durable()
		select {
		case <-r.host.Life.Done():
			return
		case q := <-r.urgent:
			r.serve(q)
		case q := <-r.requests:
			r.serve(q)
		case m := <-r.reports:
			r.hear(m)
		case err := <-saved:
			r.release(err)
		case <-late:
			r.release(errLate)
		}
	}
	r.leave()
}

// over tells whether nothing is left to do: the VMM is forgotten, and no effect
// that could still make something of its zone is under way.
func (r *Runner) over() bool {
	return r.forgotten && len(r.pending) == 0 && !r.starting.underWay()
}

// leave takes the VMM out of everything that knows it.
func (r *Runner) leave() {
	r.event("forgotten", "")
	last := r.Status(true)
	if r.unwatch != nil {
		r.unwatch()
	}
	r.host.Guard.Drop(r.id.String())
	r.host.Publisher.Drop(r.id)
	r.drop()
	r.host.Forgotten(last)
}

// apply takes one step.
func (r *Runner) apply(in vmm.Input, caller *request) {
	next, effects := vmm.Step(r.state, in, time.Now())
	changed := next.Phase != r.state.Phase
	r.because = in.Kind().String()
	unchanged := next == r.state
	if r.state.Stop == nil && next.Stop != nil && next.Stop.By == vmm.ByGuest {
		r.event("stop", stopText(next))
	}
	r.state = next
	if in.Kind() == vmm.KindZoneGone {
		r.heard++
	}
	if changed {
		r.log.Info().Stringer("phase", next.Phase).Str("state", string(next.Record.VMM.State)).
			Uint64("gen", next.Record.VMM.Gen).Stringer("because", in.Kind()).Str("reason", next.Reason).
			Msg("phase changed")
	}
	r.noteStep(in, next)
	r.commit(effects, caller, unchanged)
}
