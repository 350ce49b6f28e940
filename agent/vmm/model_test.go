package vmm

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A world is a VMM's state together with what an observer of its effects knows.
// Every test that walks the machine judges each step by judge.
type world struct {
	s State
	// stopped: a stop was accepted while the VMM had not ended.
	stopped bool
	// unregistered: Nexus took the VMM over.
	unregistered bool
	// removing: a removal was asked for and ZoneGone has not followed.
	removing bool
	// armed is the deadline that the watchdog would hold.
	armed Deadline
	// rebooters and unregisterers tell whether anybody is held.
	rebooters, unregisterers bool
}

var testLimits = Limits{StopGrace: 10 * time.Minute, MaxStopGrace: time.Hour,
	StartTimeout: 15 * time.Minute, RebootTimeout: 10 * time.Minute}

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
	return world{s: New(r, id, testLimits, epochStart)}
}

// advance takes one step and says what it broke, if anything.
func (w world) advance(in Input, now time.Time) (world, error) {
	next, effects := Step(w.s, in, now)
	n := w
	if in.Kind() == KindResumed || in.Kind() == KindRebooted {
		n.armed, n.removing, n.rebooters, n.unregisterers = Deadline{}, false, false, false
	}
	n.s = next
	request := in.Kind() <= KindKill
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	replies := 0
	for _, e := range effects {
		switch e := e.(type) {
		case Arm:
			n.armed = e.Deadline
			if e.Deadline.Epoch <= w.s.Epoch {
				fail("epoch %d is armed after %d", e.Deadline.Epoch, w.s.Epoch)
			}
		case Disarm:
			n.armed = Deadline{}
		case Remove:
			n.removing, n.armed = true, Deadline{}
		case Publish:
			if n.unregistered || in.Kind() == KindUnregister {
				fail("publishes after an unregister")
			}
			again := w.s.Phase == Ended && (in.Kind() == KindResumed || in.Kind() == KindRebooted)
			if next.Record.VMM.State.Terminal() && !again && !(w.removing && in.Kind() == KindZoneGone) {
				fail("publishes a terminal state without ZoneGone")
			}
		case Answer:
			replies += n.release(e.To)
			if e.To == Caller && (in.Kind() == KindStop || in.Kind() == KindKill) && w.s.Phase < Ended {
				n.stopped = true
			}
		case Refuse:
			replies += n.release(e.To)
		case Hold:
			replies++
			n.rebooters = n.rebooters || e.As == Rebooters
			n.unregisterers = n.unregisterers || e.As == Unregisterers
		}
	}
	if in.Kind() == KindUnregister {
		n.unregistered = true
	}
	if in.Kind() == KindZoneGone && next.Phase >= Ended {
		n.removing = false
	}
	if next.Stop != nil && next.Stop.By == ByGuest {
		n.stopped = true
	}
	if request && replies != 1 {
		fail("%d replies to a request", replies)
	}
	if !request && replies != 0 {
		fail("a report got %d replies", replies)
	}
	errs = append(errs, n.invariants(), judgeRecords(w.s, next), judgeStale(w.s, in, next, effects))
	if !slices.Contains(Ends(w.s.Phase, in.Kind()), next.Phase) {
		fail("%s leads to %s, which the table does not say", in.Kind(), next.Phase)
	}
	return n, errors.Join(errs...)
}

// release notes that a group was answered and counts the caller's reply.
func (w *world) release(to Callers) int {
	switch to {
	case Rebooters:
		w.rebooters = false
	case Unregisterers:
		w.unregisterers = false
	default:
		return 1
	}
	return 0
}

// invariants says what is wrong with a state by itself.
func (w world) invariants() error {
	s := w.s
	state := s.Record.VMM.State
	switch {
	case s.Armed != w.armed:
		return fmt.Errorf("state says %+v is armed, the watchdog holds %+v", s.Armed, w.armed)
	case (s.Stop != nil || w.stopped) && s.Phase < Ended && s.Armed.For != ForStop && !w.removing:
		return errors.New("a pending stop has neither a deadline nor a removal under way")
	case (s.Phase == Booting || s.Phase == Ensuring) && s.Armed.For != ForStart:
		return errors.New("a start has no deadline")
	case s.Phase == Active && state == WireRebooting && s.Armed.For != ForReboot:
		return errors.New("a reboot has no deadline")
	case s.Phase == Removing && !w.removing:
		return errors.New("nothing is removing the zone")
	case s.Phase == Removing && s.Outcome == Undecided:
		return errors.New("it ends and nobody has decided how")
	case w.stopped && s.Outcome == Failed:
		return errors.New("a stop that was accepted ends as failed")
	case state.Terminal() != (s.Phase >= Ended):
		return fmt.Errorf("%s in phase %s", state, s.Phase)
	case w.rebooters != s.Rebooting:
		return errors.New("a reboot's callers are held for nothing, or not held")
	case w.unregisterers && s.Phase >= Ended:
		return errors.New("an unregister is never answered")
	case s.Disowned != w.unregistered && s.Phase < Forgotten:
		return errors.New("an unregister is not remembered")
	}
	return nil
}

// judgeRecords holds that a record changes only with its generation, and a
// terminal one never.
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

func judgeStale(was State, in Input, is State, effects []Effect) error {
	e, ok := in.(Expired)
	if !ok || (was.Armed.For != ForNothing && e.Epoch == was.Armed.Epoch) {
		return nil
	}
	if !reflect.DeepEqual(was, is) || len(effects) != 0 {
		return fmt.Errorf("epoch %d is stale and has an effect", e.Epoch)
	}
	return nil
}

// inputs lists everything that can happen to a VMM in a state, with one value
// for each that the machine can tell apart.
func inputs(s State) []Input {
	short, none, huge := 3*time.Second, time.Duration(0), 1000*time.Hour
	all := []Input{
		Start{}, MigrateIn{Src: "[fd00::1]:12400"}, Stop{By: ByNexus}, Stop{By: ByNexus, Grace: &short},
		Stop{By: ByNexus, Grace: &none}, Stop{By: ByNexus, Grace: &huge}, Reboot{}, Unregister{}, Kill{},
		ZoneBooted{}, Ensured{}, StartFailed{Why: "x"}, Answered{Action: AskRun}, Answered{Action: AskStop},
		Answered{Action: AskReboot}, Answered{Action: AskReboot, Refused: true}, Answered{Action: AskReboot, NoVM: true}, Lost{Why: "x"},
		ZoneEnded{Why: "x"}, ZoneGone{}, Resumed{}, HostRebooted{},
		Expired{Epoch: s.Epoch}, Expired{Epoch: s.Epoch - 1}, Expired{Epoch: s.Epoch + 1},
		Acked{Gen: s.Record.VMM.Gen}, Acked{Gen: s.Record.VMM.Gen - 1},
		GaveUp{Gen: s.Record.VMM.Gen}, GaveUp{Gen: s.Record.VMM.Gen - 1},
	}
	for _, state := range PropolisStates() {
		for _, gen := range []uint64{s.Propolis.Gen + 1, s.Propolis.Gen + 2, 1} {
			all = append(all, Observed{State: state, Gen: gen})
		}
		for _, phase := range []string{"Sync", "Finish", "Error"} {
			m := &ObservedMigration{ID: migrationID, Phase: phase}
			all = append(all, Observed{State: state, Gen: s.Propolis.Gen + 1, MigrationIn: m},
				Observed{State: state, Gen: s.Propolis.Gen + 1, MigrationOut: m})
		}
	}
	return all
}
