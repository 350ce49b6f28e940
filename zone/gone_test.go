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

// hosted runs a test in a bubble, with a host whose zone is in a state.
func hosted(t *testing.T, s zone.State, test func(t *testing.T, h *zonetest.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, s)
		test(t, h)
	})
}

// remove removes a zone in a bubble and returns how long it took and its reports.
func remove(t *testing.T, h *zonetest.Host, r zone.Removal) (time.Duration, []zone.Report) {
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
	var names []string
	for _, r := range reports {
		name := string(r.Rung)
		if r.Err != nil {
			name += "!"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestEveryStateIsRemoved(t *testing.T) {
	t.Parallel()
	want := map[zone.State]string{
		zone.Absent:       "kill destroy-vm release",
		zone.Configured:   "kill destroy-vm delete release",
		zone.Incomplete:   "kill destroy-vm uninstall delete release",
		zone.Installed:    "kill destroy-vm uninstall delete release",
		zone.Ready:        "kill kill halt destroy-vm uninstall delete release",
		zone.Running:      "kill kill halt destroy-vm uninstall delete release",
		zone.ShuttingDown: "kill kill halt destroy-vm uninstall delete release",
		zone.Down:         "kill kill halt destroy-vm uninstall delete release",
	}
	for state, rungsWanted := range want {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			hosted(t, state, func(t *testing.T, h *zonetest.Host) {
				took, reports := remove(t, h, zone.Removal{})
				if got := rungs(reports); got != rungsWanted || took != 0 {
					t.Errorf("took %s: %s\nwant %s", took, got, rungsWanted)
				}
			})
		})
	}
}

func TestFailedRungIsRetried(t *testing.T) {
	t.Parallel()
	for _, op := range []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.DestroyVM,
		zonetest.Uninstall, zonetest.Delete, zonetest.Release} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
				h.SetFault(name, op, zonetest.Fault{Fail: true, Times: 7})
				took, reports := remove(t, h, zone.Removal{})
				var last time.Time
				for _, r := range reports {
					if !last.IsZero() && r.Begun.Sub(last) > 30*time.Second {
						t.Errorf("no rung was tried for %s", r.Begun.Sub(last))
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

func TestZoneStuckDownIsHaltedAgain(t *testing.T) {
	t.Parallel()
	hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Stuck: zone.Down})
		time.AfterFunc(time.Hour, func() { h.SetFault(name, zonetest.Halt, zonetest.Fault{}) })
		took, reports := remove(t, h, zone.Removal{})
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
	hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Hang: true, Deaf: true})
		var abandoned atomic.Int64
		most := int64(0)
		time.AfterFunc(24*time.Hour, func() {
			most = abandoned.Load()
			h.SetFault(name, zonetest.Halt, zonetest.Fault{})
			h.Unhang()
		})
		took, reports := remove(t, h, zone.Removal{Abandoned: &abandoned})
		synctest.Wait()
		if most != 2 || abandoned.Load() != 0 {
			t.Errorf("at most %d calls were stuck, %d are now", most, abandoned.Load())
		}
		if took > 24*time.Hour+time.Minute {
			t.Errorf("took %s", took)
		}
		if !slices.ContainsFunc(reports, func(r zone.Report) bool { return errors.Is(r.Err, zone.ErrOverBudget) }) {
			t.Error("no report has ErrOverBudget")
		}
	})
}

func TestOneHangDelaysTheRemovalByOneBudget(t *testing.T) {
	t.Parallel()
	for _, op := range []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.Uninstall} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
				h.SetFault(name, op, zonetest.Fault{Hang: true, Deaf: true, Times: 1})
				took, _ := remove(t, h, zone.Removal{})
				budget := zone.Budget(zone.Rung(op))
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
	hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
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

// While one rung fails for ever the others are still tried, and the removal ends
// only with the proof of absence.
func TestOtherRungsAreTriedWhileOneFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op   zonetest.Op
		ends bool
	}{{zonetest.Kill, true}, {zonetest.Look, false}, {zonetest.DestroyVM, false}, {zonetest.Release, false}} {
		for _, fault := range []zonetest.Fault{{Fail: true}, {Hang: true}, {Hang: true, Deaf: true}} {
			t.Run(string(tt.op), func(t *testing.T) {
				t.Parallel()
				hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
					h.SetFault(name, tt.op, fault)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					err := zone.EnsureGone(ctx, h, name, zone.Removal{})
					if (err == nil) != tt.ends {
						t.Errorf("ended with %v", err)
					}
					h.SetFault(name, zonetest.Look, zonetest.Fault{})
					i, err := h.Look(t.Context(), name)
					if halted := i.State != zone.Running; err != nil || !halted {
						t.Errorf("the zone is %s, %v", i.State, err)
					}
					h.Unhang()
				})
			})
		}
	}
}

func TestJudgeNeedsProof(t *testing.T) {
	t.Parallel()
	broken := errors.New("too many open files")
	for _, tt := range []struct {
		i    zone.Info
		err  error
		want zone.Verdict
	}{
		{zone.Info{}, nil, zone.CannotTell},
		{zone.Info{State: zone.Absent}, broken, zone.CannotTell},
		{zone.Info{State: zone.Installed}, broken, zone.CannotTell},
		{zone.Info{State: zone.Running, Incarnation: "8"}, broken, zone.CannotTell},
		{zone.Info{State: zone.Running}, nil, zone.CannotTell},
		{zone.Info{State: zone.Running, Incarnation: "7"}, nil, zone.Present},
		{zone.Info{State: zone.Running, Incarnation: "8"}, nil, zone.Ended},
		{zone.Info{State: zone.Absent}, nil, zone.Ended},
		{zone.Info{State: zone.Installed, Detail: "its server ended: exit status 1"}, nil, zone.Ended},
		{zone.Info{State: zone.ShuttingDown, Incarnation: "7"}, nil, zone.Ended},
	} {
		got, why := zone.Judge(tt.i, tt.err, "7")
		if got != tt.want || (why == "") != (got == zone.Present) {
			t.Errorf("%+v, %v: %v, %q, want %v", tt.i, tt.err, got, why, tt.want)
		}
	}
}

// A rung that is interrupted with the removal is not reported as failed.
func TestInterruptedRungHasNotFailed(t *testing.T) {
	t.Parallel()
	hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
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

// The removal of a zone in a random state with random faults, each occurring a few
// times, ends only when the zone is absent.
func TestRemovalSurvivesTransientFaults(t *testing.T) {
	t.Parallel()
	ops := []zonetest.Op{zonetest.Look, zonetest.Kill, zonetest.Halt, zonetest.DestroyVM, zonetest.Uninstall,
		zonetest.Delete, zonetest.Release}
	rapid.Check(t, func(rt *rapid.T) {
		state := rapid.SampledFrom(zonetest.States()[1:]).Draw(rt, "state")
		faults := map[zonetest.Op]zonetest.Fault{}
		for _, op := range ops {
			if !rapid.Bool().Draw(rt, string(op)) {
				continue
			}
			faults[op] = zonetest.Fault{Times: rapid.IntRange(1, 5).Draw(rt, "times"),
				Fail: rapid.Bool().Draw(rt, "fail"), Hang: rapid.Bool().Draw(rt, "hang"),
				Stuck: rapid.SampledFrom([]zone.State{zone.Unknown, zone.ShuttingDown, zone.Down}).Draw(rt, "stuck"),
				Delay: time.Duration(rapid.IntRange(0, 100).Draw(rt, "delay")) * time.Second}
		}
		hosted(t, state, func(t *testing.T, h *zonetest.Host) {
			for op, f := range faults {
				h.SetFault(name, op, f)
			}
			remove(t, h, zone.Removal{})
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
	for _, s := range zonetest.States()[1:] {
		if zone.ParseState(s.String()) != s {
			t.Errorf("%s is not parsed", s)
		}
	}
	if zone.ParseState("mounted") != zone.Unknown {
		t.Error("an unknown name must be Unknown")
	}
}

// After a kill the removal waits for the processes to end, for a second at most.
func TestRemovalWaitsForWhatWasKilled(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]time.Duration{0: 0, 300 * time.Millisecond: 300 * time.Millisecond, time.Hour: time.Second} {
		hosted(t, zone.Running, func(t *testing.T, h *zonetest.Host) {
			ended := make(chan struct{})
			timer := time.AfterFunc(after, func() { close(ended) })
			defer timer.Stop()
			begun, waited := time.Now(), time.Duration(-1)
			remove(t, h, zone.Removal{Killed: true, Ended: ended, Before: func(context.Context) { waited = time.Since(begun) }})
			if waited != want {
				t.Errorf("processes end after %v: it goes on after %v, want %v", after, waited, want)
			}
		})
	}
}

// Without its files a zone's configuration is not deleted, and nothing is released before that.
func TestFailedUninstallEndsTheRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Installed)
		h.SetFault(name, zonetest.Uninstall, zonetest.Fault{Fail: true, Times: 1})
		_, reports := remove(t, h, zone.Removal{})
		const want = "kill destroy-vm uninstall! destroy-vm uninstall delete release"
		if got := rungs(reports); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// A zone that is absent after its halt, since it was removed by other means, is released all
// the same.
func TestAbsentAfterAHaltIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		h.SetFault(name, zonetest.Halt, zonetest.Fault{Stuck: zone.Absent})
		_, reports := remove(t, h, zone.Removal{})
		if got := rungs(reports); got != "kill kill halt destroy-vm release" {
			t.Error(got)
		}
	})
}

// shut is a gate without a free place.
type shut struct{}

func (shut) Enter(ctx context.Context) (leave func(), err error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Kills and halts wait for no place at the gate.
func TestHaltWaitsForNoGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := zonetest.New(zonetest.Hooks{})
		h.Put(name, zone.Running)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := zone.EnsureGone(ctx, h, name, zone.Removal{Gate: shut{}}); err == nil {
			t.Error("gone without a place for the uninstall")
		}
		if info, err := h.Look(t.Context(), name); err != nil || info.State != zone.Installed {
			t.Errorf("it is %v, %v", info.State, err)
		}
	})
}
