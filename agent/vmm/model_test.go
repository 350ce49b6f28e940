package vmm

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A world is a VMM's state, what an observer of its effects knows, and the watchdog's work
// for it. Every test that walks the machine checks each step with advance.
type world struct {
	s State
	// stopped: a stop was accepted while the VMM had not ended.
	stopped bool
	// unregistered: the VMM was handed over to Nexus.
	unregistered bool
	// armed is the watchdog's deadline. wanted is the newest requested removal, begun
	// the newest that has begun, gone the newest whose end was reported.
	armed               Deadline
	wanted, begun, gone uint64
	// unreported: a removal begun by a deadline that was not reported to the VMM yet.
	unreported bool
	// starting: an effect that can change the zone has not returned. unsaved: the state
	// in which it was requested is not saved.
	starting, unsaved bool
	// offering: a record is being offered, of generation offered.
	offering bool
	offered  uint64
	// asked: Propolis was asked to stop the VM, and by force at until (zero: at once).
	asked bool
	until time.Time
	// applying is the number of the application of the networking that is under way.
	applying uint64
	// rebooters, unregisterers and changers report whether callers are held.
	rebooters, unregisterers, changers bool
}

var testLimits = Limits{StopGrace: 10 * time.Minute, MaxStopGrace: time.Hour,
	StartTimeout: 15 * time.Minute, RebootTimeout: 10 * time.Minute, SoftStop: true,
	RetryInitial: 250 * time.Millisecond, RetryMax: 30 * time.Second, GiveUpAfter: 24 * time.Hour}

var (
	epochStart  = time.Date(2026, 8, 21, 22, 14, 3, 512874000, time.UTC)
	migrationID = uuid.MustParse("c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71")
)

func newWorld(target bool) world {
	r := Runtime{State: WireStarting, Gen: 2, Updated: epochStart}
	var id *uuid.UUID
	if target {
		r.State, id = WireMigrating, &migrationID
	}
	w := world{s: New(r, id, testLimits, epochStart)}
	w.s.Ports = &Ports{NIC: migrationID, Network: Network{Subnets: []Subnet{oneSubnet}}}
	return w
}

// fire is the watchdog's move when the deadline passes. It begins a removal if none is in
// progress, and reports it to the VMM later.
func (w world) fire() world {
	w.armed = Deadline{}
	w.unreported = true
	if w.begun == w.gone {
		w.begun++
		w.wanted = w.begun
	}
	return w
}

// advance takes one step and returns what it broke, if anything.
func (w world) advance(in Input, now time.Time) (world, error) {
	next, effects := Step(w.s, in, now)
	n := w
	n.s = next
	n.before(in)
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	replies := 0
	for _, e := range effects {
		r, err := n.perform(w, in, e)
		replies += r
		errs = append(errs, err)
	}
	if next.Stop != nil && next.Stop.By == ByGuest {
		n.stopped = true
	}
	if request := in.Kind() <= KindKill; request && replies != 1 {
		fail("%d replies to a request", replies)
	} else if !request && replies != 0 {
		fail("a report got %d replies", replies)
	}
	if next.Phase != w.s.Phase && !slices.Contains(table[w.s.Phase][in.Kind()].to, next.Phase) {
		fail("%s leads to %s, which the table does not say", in.Kind(), next.Phase)
	}
	if hint(in) && (next.Phase != w.s.Phase || next.Kept() != w.s.Kept() || next.Outcome != w.s.Outcome) {
		fail("%s has changed more than a doubt", in.Kind())
	}
	if w.s.Armed.For == ForStop && next.Armed.For == ForStop && next.Armed.At.After(w.s.Armed.At) {
		fail("%s moved a stop's deadline from %s to %s", in.Kind(), w.s.Armed.At, next.Armed.At)
	}
	errs = append(errs, n.judgeAsked(w, in, now), n.invariants(), judgeRecords(w.s, next), judgeNetwork(w.s, next, in))
	return n, errors.Join(errs...)
}

// judgeAsked verifies that Propolis was asked to stop a VM as early as the newest stop
// wants, and never later than by an earlier one.
func (w world) judgeAsked(was world, in Input, now time.Time) error {
	stop, isStop := in.(Stop)
	switch {
	case was.asked && w.until.After(was.until):
		return fmt.Errorf("Propolis is asked to force a stop at %s, and was at %s", w.until, was.until)
	case !isStop || w.s.Phase != Stopping:
		return nil
	case !w.asked || w.until.After(now.Add(w.s.Limits.clampSoft(stop.Soft))):
		return fmt.Errorf("a stop with a soft time of %s is not forwarded: %t, %s", stop.Soft, w.asked, w.until)
	case stop.Grace == nil && w.s.Armed.At.Sub(now) > w.s.Limits.Grace(stop):
		return fmt.Errorf("a stop has %s, more than its grace", w.s.Armed.At.Sub(now))
	case was.s.Phase == Active && stop.Soft > 0 && stop.Grace == nil && w.s.Armed.At.Sub(w.until) < SoftMargin &&
		w.s.Armed.At.Sub(now) < w.s.Limits.MaxStopGrace:
		return fmt.Errorf("the deadline comes %s after the soft time", w.s.Armed.At.Sub(w.until))
	}
	return nil
}

// hint reports whether an input proves nothing, so that it must have no consequence.
func hint(in Input) bool {
	k := in.Kind()
	return k == KindUnsure || k == KindPresent || k == KindZoneChanged
}

// before records what is known from the input alone.
func (w *world) before(in Input) {
	switch in := in.(type) {
	case Resumed:
		*w = world{s: w.s, stopped: w.stopped, unregistered: w.unregistered, asked: w.asked, until: w.until}
	case Slept:
		if !w.until.IsZero() {
			w.until = w.until.Add(-in.For) // as the deadline does
		}
	case Unregister:
		w.unregistered = true
	case ZoneBooted, Ensured, StartFailed, Unsaved:
		w.starting, w.unsaved = false, false
	case Expired:
		w.unreported = false
	case ZoneGone:
		w.gone = in.N
		w.begin()
	case Published:
		w.offering = false
	case Applied:
		if w.applying == in.N && in.Why == "" {
			w.applying = 0
		}
	}
	if w.s.Phase >= Removing {
		w.applying = 0
	}
}

// begin begins the requested removal, unless one is in progress.
func (w *world) begin() {
	if w.begun == w.gone && w.wanted > w.begun {
		w.begun = w.wanted
	}
}

// perform records an effect and returns the number of replies to the caller.
func (w *world) perform(was world, in Input, e Effect) (replies int, err error) {
	switch e := e.(type) {
	case Arm:
		w.armed = e.Deadline
		if e.Deadline.Epoch <= was.s.Epoch {
			err = fmt.Errorf("epoch %d is armed after %d", e.Deadline.Epoch, was.s.Epoch)
		}
	case Disarm:
		w.armed = Deadline{}
	case Remove:
		w.armed = Deadline{}
		w.wanted = max(w.wanted, e.N)
		w.begin()
	case Boot, Ensure:
		if w.starting {
			err = errors.New("a start begins during another one")
		}
		w.starting, w.unsaved = true, in.Kind() == KindStart || in.Kind() == KindMigrateIn
	case Publish:
		if w.offering {
			err = errors.New("two offers at once")
		}
		w.offering, w.offered = true, w.s.Record.VMM.Gen
		if w.unregistered {
			err = errors.New("publishes after an unregister")
		}
		if w.s.Record.VMM.State.Terminal() && w.s.Phase != Ended {
			err = errors.New("publishes a terminal state of a VMM that has not ended")
		}
	case Apply:
		if w.applying = e.N; w.s.Phase < Ensuring || w.s.Phase > Stopping || e.N <= was.s.Flux.Ports.N && in.Kind() != KindResumed {
			err = fmt.Errorf("applies the networking as number %d after %d, in phase %s", e.N, was.s.Flux.Ports.N, w.s.Phase)
		}
	case Ask:
		if e.Action == AskStop {
			w.asked, w.until = true, e.Until
		}
	case Disown:
		w.offering = false
	case Answer:
		replies = w.release(e.To)
		if e.To == Caller && (in.Kind() == KindStop || in.Kind() == KindKill) && was.s.Phase < Ended {
			w.stopped = true
		}
	case Refuse:
		replies = w.release(e.To)
	case Hold:
		replies = 1
		w.rebooters = w.rebooters || e.As == Rebooters
		w.unregisterers = w.unregisterers || e.As == Unregisterers
		w.changers = w.changers || e.As == Changers
	case Forget:
		if was.s.Phase != Forgotten && (w.starting || w.begun != w.gone || w.wanted != w.begun) {
			err = errors.New("forgets a VMM during a start or a removal")
		}
	}
	return replies, err
}

// release records that a group was answered and counts the caller's reply.
func (w *world) release(to Callers) int {
	switch to {
	case Rebooters:
		w.rebooters = false
	case Unregisterers:
		w.unregisterers = false
	case Changers:
		w.changers = false
	default:
		return 1
	}
	return 0
}

// invariants returns what is wrong with a state on its own.
func (w world) invariants() error {
	s := w.s
	state := s.Record.VMM.State
	removing := w.unreported || w.begun > w.gone || w.wanted > w.begun
	switch {
	case s.Armed != w.armed && !w.unreported:
		return fmt.Errorf("state says %+v is armed, the watchdog holds %+v", s.Armed, w.armed)
	case (s.Stop != nil || w.stopped) && s.Phase < Ended && s.Armed.For != ForStop && !removing:
		return errors.New("a pending stop has neither a deadline nor a removal in progress")
	case (s.Phase == Booting || s.Phase == Ensuring) && s.Armed.For != ForStart:
		return errors.New("a start has no deadline")
	case s.Phase == Active && state == WireRebooting && s.Armed.For != ForReboot:
		return errors.New("a reboot has no deadline")
	case s.Phase == Removing && !removing:
		return errors.New("nothing is removing the zone")
	case s.Phase == Removing && s.Outcome == Undecided:
		return errors.New("it ends without a decision how")
	case w.stopped && s.Outcome == Failed:
		return errors.New("a stop that was accepted ends as failed")
	case state.Terminal() != (s.Phase >= Ended):
		return fmt.Errorf("%s in phase %s", state, s.Phase)
	case w.rebooters != s.Rebooting:
		return errors.New("a reboot's callers are held for nothing, or not held")
	case w.unregisterers && s.Phase >= Ended:
		return errors.New("an unregister is never answered")
	case w.changers != s.Flux.Ports.Held:
		return errors.New("callers of a change are held for nothing, or not held")
	case w.changers && w.applying == 0:
		return errors.New("a change is never answered")
	case w.changers && s.Phase >= Removing:
		return errors.New("a change is not answered before the removal")
	case s.Disowned != w.unregistered && s.Phase < Forgotten:
		return errors.New("an unregister is not remembered")
	case s.Flux.Starting != w.starting:
		return errors.New("the state is wrong about a start under way")
	case s.Phase < Forgotten && !s.Disowned && s.Flux.Offer.UnderWay != w.offering:
		return errors.New("the state is wrong about an offer under way")
	case s.Phase == Ended && !s.Flux.Settled && !w.offering:
		return errors.New("a terminal record is not being offered")
	case s.Phase == Ended && s.Flux.Settled && !w.starting && w.begun == w.gone && w.wanted == w.begun:
		return errors.New("a VMM that is over is not forgotten")
	}
	return nil
}

// judgeRecords verifies that a record changes only with its generation, and a terminal one
// never.
func judgeRecords(was, is State) error {
	if was.Record == is.Record || reflect.DeepEqual(was.Record, is.Record) {
		return nil
	}
	if was.Record.VMM.State.Terminal() {
		return errors.New("a terminal record has changed")
	}
	if is.Record.VMM.Gen <= was.Record.VMM.Gen {
		return fmt.Errorf("record changed, generation went from %d to %d", was.Record.VMM.Gen, is.Record.VMM.Gen)
	}
	if is.Record.MigrationIn != nil && is.Record.MigrationOut != nil && is.Record.MigrationIn.ID == is.Record.MigrationOut.ID {
		return errors.New("one migration is on both sides")
	}
	for _, m := range [][2]*Migration{{was.Record.MigrationIn, is.Record.MigrationIn}, {was.Record.MigrationOut, is.Record.MigrationOut}} {
		if m[0] != nil && m[1] == nil {
			return errors.New("a migration record was dropped")
		}
		if m[0] != nil && m[0].ID == m[1].ID && *m[0] != *m[1] && m[1].Gen <= m[0].Gen {
			return errors.New("a migration record changed without its generation")
		}
	}
	if is.Record.VMM.State.Terminal() {
		for _, m := range []*Migration{is.Record.MigrationIn, is.Record.MigrationOut} {
			if m != nil && m.State != MigrationCompleted && m.State != MigrationFailed {
				return errors.New("a migration outlives its VMM")
			}
		}
	}
	return nil
}
