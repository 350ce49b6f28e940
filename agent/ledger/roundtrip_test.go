package ledger

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// sameState compares states. Times are equal if they are the same instant. Pending
// requests to Propolis are not stored: a new process decides anew.
var sameState = cmp.Options{cmpopts.IgnoreFields(vmm.State{}, "Rebooting", "RebootFrom", "RebootSoft"),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// sameEntry compares a loaded entry with the saved one.
var sameEntry = cmp.Options{sameState, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(vmm.Registration{}, "PropolisAddr"), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

func differences(want, got Entry) string {
	want.Identity = identityOf(want.Registration)
	if want.Identity != got.Identity {
		return fmt.Sprintf("identity %+v, was %+v", got.Identity, want.Identity)
	}
	if want.Registration.PropolisAddr != got.Registration.PropolisAddr {
		return fmt.Sprintf("address %s, was %s", got.Registration.PropolisAddr, want.Registration.PropolisAddr)
	}
	if !bytes.Equal(want.Registration.Spec, got.Registration.Spec) {
		return fmt.Sprintf("spec %q, was %q", got.Registration.Spec, want.Registration.Spec)
	}
	return cmp.Diff(want, got, sameEntry)
}

// coded encodes an entry with one clock and decodes it with another.
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

// A reading is the values of a process's clocks at one moment.
type reading struct {
	wall time.Time
	at   time.Duration
	boot string
}

// TestEntriesRoundTrip encodes any entry and decodes it in a later process with any
// wall-clock time.
func TestEntriesRoundTrip(t *testing.T) {
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
			left := min(e.State.Armed.At.Sub(now)-passed, longest(e.State.Armed.For, e.State))
			want.State.Armed.At = reads.wall.Add(left)
		}
		if diff := differences(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestReachableStatesRoundTrip drives VMMs through their lifecycle. After each step the
// ledger returns the same state, and a new process continues exactly as one that never
// ended.
func TestReachableStatesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now, at := time.Now(), time.Hour
		s := vmm.New(vmm.Runtime{State: vmm.WireStarting, Gen: 1, Updated: now}, rapid.Ptr(genID(), true).Draw(t, "target"), limits, now)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			tick := genSpan(0).Draw(t, "tick") / 1000
			now, at = now.Add(tick), at+tick
			in := genInput(s).Draw(t, "input")
			s, _ = vmm.Step(s, in, now)
			e := Entry{Registration: &vmm.Registration{Spec: []byte("{}"), PropolisAddr: anyAddr}, State: s.Kept(), Acked: s.Acked}
			got, _, err := coded(e, reading{now, at, "this"}, reading{now, at, "this"})
			if err != nil {
				t.Fatalf("after %s%+v: %v", in.Kind(), in, err)
			}
			if s.Armed.For != vmm.ForNothing && s.Armed.At.Sub(now) > longest(s.Armed.For, s) {
				t.Fatalf("after %s%+v: armed %s ahead: %+v", in.Kind(), in, s.Armed.At.Sub(now), s)
			}
			got.State.Acked = got.Acked
			if diff := cmp.Diff(s.Kept(), got.State, sameState); diff != "" {
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

// TestDeadlineSurvivesRestart restarts the agent while a deadline is armed. The boot
// clock advances with the bubble's clock.
func TestDeadlineSurvivesRestart(t *testing.T) {
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

// TestWallClockMovesNoDeadline steps the wall clock by decades, while an agent runs or
// between two agents. Such a step is simulated by a time without its monotonic reading:
// the result differs only if a wall-clock time takes part in the calculation.
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
	// Within one agent the deadline carries the monotonic reading, and differences
	// between such times do not show the step.
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

// TestLimitsAreCurrent: they come from the configuration, not from disk.
func TestLimitsAreCurrent(t *testing.T) {
	t.Parallel()
	l := opened(t, newPath(t), Options{})
	saved(t, l, uuid.New(), stopping(time.Now()))
	other := vmm.Limits{StopGrace: 1, MaxStopGrace: 2, StartTimeout: 3, RebootTimeout: 4}
	all, err := load(l, other)
	if err != nil || len(all) != 1 || all[0].State.Limits != other {
		t.Errorf("%+v, %v", all, err)
	}
}
