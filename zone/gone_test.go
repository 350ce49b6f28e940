package zone_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const name = "oxz_propolis-server_c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71"

// climb removes a zone in a bubble and returns how long it took and its reports.
func climb(t *testing.T, h *zonetest.Host, r zone.Removal) (time.Duration, []zone.Report) {
	t.Helper()
	var reports []zone.Report
	r.Observe = func(rep zone.Report) { reports = append(reports, rep) }
	begun := time.Now()
	if err := zone.EnsureGone(t.Context(), h, name, r); err != nil {
		t.Fatal(err)
	}
	if info, err := h.Look(t.Context(), name); err != nil || info.State != zone.Absent {
		t.Fatalf("zone is %s, %v", info.State, err)
	}
	return time.Since(begun), reports
}

func rungs(reports []zone.Report) string {
	var words []string
	for _, r := range reports {
		word := string(r.Rung)
		if r.Err != nil {
			word += "!"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestEveryStateIsRemoved(t *testing.T) {
	t.Parallel()
	want := map[zone.State]string{
		zone.Absent:       "kill destroy-vm release",
		zone.Configured:   "kill delete destroy-vm release",
		zone.Incomplete:   "kill destroy-vm uninstall delete destroy-vm release",
		zone.Installed:    "kill destroy-vm uninstall delete destroy-vm release",
		zone.Ready:        "kill kill halt destroy-vm uninstall delete destroy-vm release",
		zone.Running:      "kill kill halt destroy-vm uninstall delete destroy-vm release",
		zone.ShuttingDown: "kill kill halt destroy-vm uninstall delete destroy-vm release",
		zone.Down:         "kill kill halt destroy-vm uninstall delete destroy-vm release",
	}
	for state, rungsWanted := range want {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := zonetest.New(zonetest.Hooks{})
				h.Put(name, state)
				took, reports := climb(t, h, zone.Removal{})
				if got := rungs(reports); got != rungsWanted || took != 0 {
					t.Errorf("took %s: %s\nwant %s", took, got, rungsWanted)
				}
			})
		})
	}
}

func TestWhatFailsIsTriedUntilItWorks(t *testing.T) {
	t.Parallel()
	for _, op := range []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.DestroyVM,
		zonetest.Uninstall, zonetest.Delete, zonetest.Release} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := zonetest.New(zonetest.Hooks{})
				h.Put(name, zone.Running)
				h.SetFault(name, op, zonetest.Fault{Fail: true, Times: 7})
				took, reports := climb(t, h, zone.Removal{})
				var last time.Time
				for _, r := range reports {
					if !last.IsZero() && r.Begun.Sub(last) > 30*time.Second {
						t.Errorf("nothing was tried for %s", r.Begun.Sub(last))
					}
					last = r.Begun.Add(r.Took)
				}
				if took > time.Minute {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestZoneStuckDownIsHaltedAgainUntilItGives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Stuck: zone.Down})
		time.AfterFunc(time.Hour, func() { h.SetFault(name, zonetest.Halt, zonetest.Fault{}) })
		took, reports := climb(t, h, zone.Removal{})
		if took < time.Hour || took > time.Hour+30*time.Second {
			t.Errorf("gone after %s, released after an hour", took)
		}
		halts := 0
		for _, r := range reports {
			if r.Rung == zone.RungHalt {
				halts++
			}
		}
		if halts < 100 {
			t.Errorf("halted only %d times", halts)
		}
	})
}

func TestDeafCallsAreAbandonedAndCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Hang: true, Deaf: true})
		var abandoned atomic.Int64
		most := int64(0)
		time.AfterFunc(24*time.Hour, func() {
			most = abandoned.Load()
			h.SetFault(name, zonetest.Halt, zonetest.Fault{})
			h.Unhang()
		})
		took, reports := climb(t, h, zone.Removal{Abandoned: &abandoned})
		synctest.Wait()
		if most != 4 || abandoned.Load() != 0 {
			t.Errorf("%d calls were stuck at the worst, %d are now", most, abandoned.Load())
		}
		if took > 24*time.Hour+time.Minute {
			t.Errorf("took %s", took)
		}
		if !slices.ContainsFunc(reports, func(r zone.Report) bool { return errors.Is(r.Err, zone.ErrOverBudget) }) {
			t.Error("no report says that a budget was spent")
		}
	})
}

func TestOneHangDelaysTheRemovalByOneBudget(t *testing.T) {
	t.Parallel()
	for _, op := range []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.Uninstall} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := zonetest.New(zonetest.Hooks{})
				h.Put(name, zone.Running)
				h.SetFault(name, op, zonetest.Fault{Hang: true, Deaf: true, Times: 1})
				took, _ := climb(t, h, zone.Removal{})
				budget := zone.DefaultBudget(zone.Rung(op))
				if took < budget || took > budget+time.Second {
					t.Errorf("took %s, the budget is %s", took, budget)
				}
				h.Unhang()
			})
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Fail: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		err := zone.EnsureGone(ctx, h, name, zone.Removal{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

// A rung that is broken off with the removal has not failed.
func TestBrokenOffIsNotFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Hang: true})
		defer h.Unhang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = zone.EnsureGone(ctx, h, name, zone.Removal{Observe: func(r zone.Report) {
			if r.Err != nil {
				t.Errorf("%s is reported to have failed: %v", r.Rung, r.Err)
			}
		}})
	})
}

// TestAnyFaultsThatEndAreSurvived sets faults at random, each occurring a few
// times, on a zone in any state: the zone is gone in the end, and only absence
// ended the removal.
func TestAnyFaultsThatEndAreSurvived(t *testing.T) {
	t.Parallel()
	ops := []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.DestroyVM, zonetest.Uninstall,
		zonetest.Delete, zonetest.Release}
	rapid.Check(t, func(rt *rapid.T) {
		state := rapid.SampledFrom(zone.States()[:8]).Draw(rt, "state")
		faults := map[zonetest.Op]zonetest.Fault{}
		for _, op := range ops {
			if !rapid.Bool().Draw(rt, string(op)) {
				continue
			}
			faults[op] = zonetest.Fault{Times: rapid.IntRange(1, 5).Draw(rt, "times"),
				Fail: rapid.Bool().Draw(rt, "fail"), Hang: rapid.Bool().Draw(rt, "hang"),
				Stuck: rapid.SampledFrom([]zone.State{zone.Absent, zone.ShuttingDown, zone.Down}).Draw(rt, "stuck"),
				Delay: time.Duration(rapid.IntRange(0, 100).Draw(rt, "delay")) * time.Second}
		}
		synctest.Test(t, func(t *testing.T) {
			h := zonetest.New(zonetest.Hooks{})
			h.Put(name, state)
			for op, f := range faults {
				h.SetFault(name, op, f)
			}
			climb(t, h, zone.Removal{})
		})
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	for zoneName, ok := range map[string]bool{
		name: true, "a": true, "9-_.z": true, "": false, "-a": false, "../a": false, "a/b": false,
		"global": false, "SUNWx": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, "a\n": false,
	} {
		if err := zone.ValidName(zoneName); (err == nil) != ok {
			t.Errorf("%q: %v", zoneName, err)
		}
	}
	for _, s := range zone.States()[:8] {
		if zone.ParseState(s.String()) != s {
			t.Errorf("%s is not read back", s)
		}
	}
	if zone.ParseState("mounted") != zone.Unknown {
		t.Error("a state nobody knows must be Unknown")
	}
}
