package runner

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

const (
	// mailboxSize is how many requests of one VMM may wait, as many as in the
	// reference. The loop never waits, so that only a storm fills it.
	mailboxSize = 32
	// guardReports is how many reports of the watchdog may wait. It makes two for
	// each removal.
	guardReports = 8
	// snapshotsAtOnce is how many disk snapshots of one VMM may be under way.
	snapshotsAtOnce = 4
)

// A Runner owns one VMM. Its exported methods are safe for concurrent use.
type Runner struct {
	id   uuid.UUID
	zone string
	who  ledger.Identity
	// begun is when this process began with the VMM.
	begun time.Time
	// born is the state that the VMM was registered with.
	born   vmm.Runtime
	host   *Host
	log    zerolog.Logger
	client Propolis

	urgent   chan request
	requests chan request
	reports  chan report
	guard    chan vmm.Input
	// ready is closed when the registration is durable, ended when the loop has ended.
	ready chan struct{}
	ended chan struct{}
	view  atomic.Pointer[view]
	notes notes
	saved saved
	// zoneHandle is that of the boot in which the VMM lives, if the host's zones have any.
	zoneHandle atomic.Pointer[zone.Handle]
	killed     atomic.Pointer[zone.Report]
	// killing is set once the watchdog has begun the removal.
	killing atomic.Bool
	// killedNow is the watchdog's between KillNow and Remove.
	killedNow zone.Report
	snaps     chan struct{}
	// portCall has an element while a call of the host's Ports is under way.
	portCall chan struct{}
	// stuck counts looks at the zone that have outlived their budget.
	stuck atomic.Int32
	// again is set when the zone has to be looked at once more after the look that
	// is under way.
	again atomic.Bool
	// askServer is set when the host has to be asked after the server once the zone
	// was seen.
	askServer atomic.Bool

	// work ends when the VMM's removal begins.
	work       context.Context
	cancelWork context.CancelFunc

	// What follows belongs to the loop.
	state   vmm.State
	facts   ledger.Zone
	pending []batch
	held    map[vmm.Callers][]request
	under   map[string]*running
	unwatch func()
	// because names what the step under way comes from, for crash tests.
	because   string
	rebootErr error
	// portTried is closed after the first try of the newest application of the
	// networking; nil before that.
	portTried <-chan struct{}
	forgotten bool
	// refused is why the registration was not accepted.
	refused error
}

// view is what readers see: the newest state whose effects were released.
type view struct {
	state vmm.State
	zone  ledger.Zone
	// unsaved is when the state was given to the journal, if it was released
	// without being durable; zero if it was durable.
	unsaved time.Time
}

// New makes the Runner of a VMM that has just been registered and starts it.
// Ready tells when its registration is durable.
func New(h *Host, id uuid.UUID, reg *vmm.Registration) *Runner {
	r := newRunner(h, id, ledger.Identity{InstanceID: reg.InstanceID, Hostname: reg.Hostname, PropolisAddr: reg.PropolisAddr},
		h.Prefix+id.String())
	r.born, r.saved.entry.Registration = reg.Runtime, reg
	r.state = vmm.New(reg.Runtime, reg.MigrationID, h.Settings.Limits(), time.Now())
	r.state.Ports, r.facts.Name = vmm.NewPorts(reg), r.zone
	r.event("registered", reg.Hostname)
	go r.loop(nil)
	return r
}

// Adopt makes the Runner of a VMM that the ledger holds and starts it where it was.
func Adopt(h *Host, e ledger.Loaded) *Runner {
	if e.Zone.Name == "" {
		e.Zone.Name = h.Prefix + e.ID.String() // as written by a version that kept no names
	}
	r := newRunner(h, e.ID, e.Identity, e.Zone.Name)
	r.state, r.facts = e.State, e.Zone
	r.state.Acked = e.Acked
	r.notes.resume(e.Entry)
	r.saved.resume(e.Entry, r.notes.removed())
	h.Zones.Recall(r.zone, zone.Made{Links: e.Zone.Links, Datalinks: e.Zone.Datalinks, Path: e.Zone.Path})
	r.view.Store(&view{state: r.state, zone: r.facts})
	close(r.ready)
	r.event("adopted", "in phase "+e.State.Phase.String())
	go r.loop(vmm.Resumed{Rebooted: e.HostRebooted})
	return r
}

// newRunner makes a Runner that the watchdog knows, without a state.
func newRunner(h *Host, id uuid.UUID, who ledger.Identity, zoneName string) *Runner {
	r := &Runner{
		id: id, zone: zoneName, who: who, host: h, begun: time.Now(),
		log:    h.Log.With().Stringer("vmm", id).Logger(),
		client: h.Propolis(who.PropolisAddr),
		urgent: make(chan request), requests: make(chan request, mailboxSize),
		reports: make(chan report), guard: make(chan vmm.Input, guardReports),
		ready: make(chan struct{}), ended: make(chan struct{}),
		snaps: make(chan struct{}, snapshotsAtOnce), portCall: make(chan struct{}, 1),
		held: map[vmm.Callers][]request{}, under: map[string]*running{},
	}
	r.work, r.cancelWork = context.WithCancel(h.Life)
	h.Guard.Add(id.String(), r)
	return r
}

// Identity is what the VMM is known by.
func (r *Runner) Identity() ledger.Identity { return r.who }

// Zone is the name of the VMM's zone.
func (r *Runner) Zone() string { return r.zone }

// State is the VMM's record as it was made visible last, and how far it is in
// its life. It reports false until the registration itself is durable.
func (r *Runner) State() (vmm.Record, vmm.Phase, bool) {
	v := r.view.Load()
	if v == nil {
		return vmm.Record{}, vmm.Registered, false
	}
	return v.state.Record, v.state.Phase, true
}

// Ready is closed when the registration is durable and may be seen.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Ended is closed when the Runner is at its end: the VMM is forgotten or was
// never accepted, or the agent exits.
func (r *Runner) Ended() <-chan struct{} { return r.ended }

// loop is the VMM's goroutine. It begins with an input, or with saving the state
// of a VMM that is new.
func (r *Runner) loop(first vmm.Input) {
	defer close(r.ended)
	defer r.cancelWork()
	if first != nil {
		r.apply(first, nil)
	} else {
		r.because = "Register"
		r.commit(nil, nil, false)
	}
	for r.refused == nil && (!r.forgotten || len(r.pending) > 0) {
		select {
		case q := <-r.urgent:
			r.apply(q.in, &q)
			continue
		default:
		}
		saved, late := r.durable()
		select {
		case <-r.host.Life.Done():
			return
		case q := <-r.urgent:
			r.apply(q.in, &q)
		case q := <-r.requests:
			r.apply(q.in, &q)
		case in := <-r.guard:
			r.apply(in, nil)
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

// leave takes the VMM out of everything that knows it.
func (r *Runner) leave() {
	if r.unwatch != nil {
		r.unwatch()
	}
	r.host.Guard.Drop(r.id.String())
	if r.refused != nil {
		r.drop(nil)
		r.host.Left(r.id)
		return
	}
	r.event("forgotten", "")
	last := r.Status(true)
	r.drop(&last)
	r.host.Left(r.id)
}

// apply takes one step.
func (r *Runner) apply(in vmm.Input, caller *request) {
	in = cleaned(in)
	r.state.Limits = r.host.Settings.Limits()
	was := r.state
	next, effects := vmm.Step(was, in, time.Now())
	r.because = in.Kind().String()
	r.state = next
	r.noteStep(in, caller.by(), was, next)
	r.commit(effects, caller, next.Kept() == was.Kept() && r.facts.Incarnation == r.saved.incarnation)
}
