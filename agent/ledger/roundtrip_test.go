package ledger

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// sameState compares states for all that decides. Times are the same if they
// are the same instant. What Propolis is asked at the moment to do is not kept:
// a new process asks anew, or does not.
var sameState = cmp.Options{cmpopts.IgnoreFields(vmm.State{}, "Rebooting", "RebootFrom"),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })}

// sameEntry compares what a ledger gives back with what it was given.
var sameEntry = cmp.Options{sameState, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(wire.Registration{}, "PropolisAddr")}

func differences(want, got Entry) string {
	if want.Registration.PropolisAddr != got.Registration.PropolisAddr {
		return fmt.Sprintf("address %s, was %s", got.Registration.PropolisAddr, want.Registration.PropolisAddr)
	}
	if !bytes.Equal(want.Registration.Spec, got.Registration.Spec) {
		return fmt.Sprintf("spec %q, was %q", got.Registration.Spec, want.Registration.Spec)
	}
	return cmp.Diff(want, got, sameEntry)
}

// coded encodes an entry on one clock and decodes it on another.
func coded(e Entry, wrote, reads reading) (got Entry, rebooted bool, err error) {
	reg, err := encodeRegistration(e.Registration)
	if err != nil {
		return got, false, err
	}
	state, err := encodeState(e, wrote.wall, wrote.at, wrote.boot)
	if err != nil {
		return got, false, err
	}
	got, rebooted, err = decodeState(state, reads.wall, reads.at, reads.boot, limits)
	if err != nil {
		return got, false, err
	}
	got.Registration, err = decodeRegistration(reg)
	return got, rebooted, err
}

// A reading is what a process's clocks say at one moment.
type reading struct {
	wall time.Time
	at   time.Duration
	boot string
}

// TestEntriesComeBack encodes any entry and decodes it in a later process, whose
// wall clock may say anything.
func TestEntriesComeBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		e := genEntry(now).Draw(t, "entry")
		wrote := reading{wall: now, at: genSpan(0).Draw(t, "uptime"), boot: "this"}
		passed := genSpan(0).Draw(t, "passed")
		reads := reading{wall: genTime().Draw(t, "wall"), at: wrote.at + passed, boot: "this"}
		got, rebooted, err := coded(e, wrote, reads)
		if err != nil || rebooted {
			t.Fatalf("rebooted: %t, error: %v", rebooted, err)
		}
		want := e
		if e.State.Armed.For != vmm.ForNothing {
			want.State.Armed.At = reads.wall.Add(e.State.Armed.At.Sub(now) - passed)
		}
		if diff := differences(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestWalkedStatesComeBack takes VMMs through their lives and holds that after
// each step the ledger gives the same state back, and that a new process does
// the same with it as one that has never ended.
func TestWalkedStatesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now, at := time.Now(), time.Hour
		s := vmm.New(vmm.Runtime{State: vmm.WireStarting, Gen: 1, Updated: now}, rapid.Ptr(genID(), true).Draw(t, "target"), limits, now)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			tick := genSpan(0).Draw(t, "tick") / 1000
			now, at = now.Add(tick), at+tick
			in := genInput(s).Draw(t, "input")
			s, _ = vmm.Step(s, in, now)
			e := Entry{Registration: &wire.Registration{Spec: []byte("{}"), PropolisAddr: anyAddr}, State: s}
			got, _, err := coded(e, reading{now, at, "this"}, reading{now, at, "this"})
			if err != nil {
				t.Fatalf("after %s%+v: %v", in.Kind(), in, err)
			}
			if diff := cmp.Diff(s, got.State, sameState); diff != "" {
				t.Fatalf("after %s%+v: %s", in.Kind(), in, diff)
			}
			want, wantEffects := vmm.Step(s, vmm.Resumed{}, now)
			resumed, effects := vmm.Step(got.State, vmm.Resumed{}, now)
			if diff := cmp.Diff(want, resumed, sameState) + cmp.Diff(wantEffects, effects, sameState); diff != "" {
				t.Fatalf("resumed after %s%+v: %s", in.Kind(), in, diff)
			}
		}
	})
}

// TestDeadlineOutlivesTheAgent restarts the agent while a deadline is armed. The
// bubble's clock is what processes have; the boot clock goes along with it.
func TestDeadlineOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	path, id := newPath(t), uuid.New()
	synctest.Test(t, func(t *testing.T) {
		clock := newClock("this", time.Hour)
		pass := func(d time.Duration) {
			time.Sleep(d)
			clock.at.Add(int64(d))
		}
		want := time.Now().Add(10 * time.Minute)
		e := stopping(want)
		for range 5 {
			l := opened(t, path, Options{Clock: clock})
			saved(t, l, id, e)
			closed(t, l)
			pass(time.Minute)
			l = opened(t, path, Options{Clock: clock})
			e = loaded(t, l)[id].Entry
			closed(t, l)
			if got := e.State.Armed; got.For != vmm.ForStop || !got.At.Equal(want) {
				t.Fatalf("armed %+v, want %s", got, want)
			}
		}
		if left := time.Until(e.State.Armed.At); left != 5*time.Minute {
			t.Errorf("%s left, want 5m", left)
		}
	})
}

// TestWallClockMovesNoDeadline steps the wall clock by decades, while an agent
// runs or from one agent to the next. A time of the bubble without its
// monotonic reading is what such a step leaves of it: only if a wall time took
// part in the reckoning could the result be another.
func TestWallClockMovesNoDeadline(t *testing.T) {
	t.Parallel()
	const left, uptime, passed = 10 * time.Minute, time.Hour, time.Minute
	for _, years := range []int{-40, -1, 0, 1, 40} {
		before, after := time.Now(), time.Now().AddDate(years, 0, 0)
		e := stopping(before.Add(left))
		got, rebooted, err := coded(e, reading{before, uptime, "this"}, reading{after, uptime + passed, "this"})
		if err != nil || rebooted {
			t.Fatalf("%d years: rebooted: %t, error: %v", years, rebooted, err)
		}
		if d := got.State.Armed.At.Sub(after); d != left-passed {
			t.Errorf("%d years: %s left, want %s", years, d, left-passed)
		}
	}
	// Within one agent the deadline carries the process's monotonic reading, and
	// the step shows in none of the differences between such times.
	now := time.Now()
	state, err := encodeState(stopping(now.Add(left)), now.Add(passed), uptime+passed, "this")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`"at_ns":%d`, uptime+left)
	if !bytes.Contains(state, []byte(want)) {
		t.Errorf("no %s in %s", want, state)
	}
}

func TestAnotherBootDropsTheDeadline(t *testing.T) {
	t.Parallel()
	path, id := newPath(t), uuid.New()
	l := opened(t, path, Options{Clock: newClock("first", time.Hour)})
	saved(t, l, id, stopping(time.Now().Add(time.Hour)))
	closed(t, l)
	got := loaded(t, opened(t, path, Options{Clock: newClock("second", time.Minute)}))[id]
	if !got.HostRebooted || got.State.Armed != (vmm.Deadline{}) {
		t.Errorf("rebooted: %t, armed: %+v", got.HostRebooted, got.State.Armed)
	}
	if got.State.Stop == nil || got.State.Phase != vmm.Stopping {
		t.Errorf("the stop is gone: %+v", got.State)
	}
}

// TestLimitsAreThePresentOnes: they come from the configuration, not from disk.
func TestLimitsAreThePresentOnes(t *testing.T) {
	t.Parallel()
	l := opened(t, newPath(t), Options{})
	saved(t, l, uuid.New(), stopping(time.Now()))
	other := vmm.Limits{StopGrace: 1, MaxStopGrace: 2, StartTimeout: 3, RebootTimeout: 4}
	all, err := l.Load(other)
	if err != nil || len(all) != 1 || all[0].State.Limits != other {
		t.Errorf("%+v, %v", all, err)
	}
}
