package illumos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// The state decides whether a halt succeeded, not its exit code.
func TestHaltChecksState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"done, exit 0", `state "$zone" installed`, ""},
		{"done, exit 1", `state "$zone" installed; exit 1`, ""},
		{"done, by a zoneadmd that had to be restarted", `echo "WARNING: restarted zoneadmd to recover." >&2; ordinary`, ""},
		{"absent", `state "$zone" absent; exit 1`, ""},
		{"not done, exit 0", `state "$zone" down 7; echo "zone is already halted"`, "it is still down"},
		{"not done", `echo "zone '$zone': unable to destroy zone" >&2; exit 1`, "unable to destroy zone"},
	} {
		h := newScripted(t)
		h.setState(testZone, zone.ShuttingDown)
		h.on("zoneadm-halt", test.script)
		err := h.manager().Remove(bounded(t), zone.RungHalt, testZone)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.err)
		}
	}
}

// zoneadm refuses to halt a zone without files. An inactive zone needs no halt.
func TestHaltInactiveZone(t *testing.T) {
	t.Parallel()
	for _, s := range zonetest.States() {
		if active(s) {
			continue
		}
		h := newScripted(t)
		h.setState(testZone, s)
		if err := h.manager().Remove(bounded(t), zone.RungHalt, testZone); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		h.wantNothingRun(s)
	}
}

// A halt continues after its caller has given up, is visible, and is not repeated
// without limit.
func TestHaltContinuesWithoutCaller(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	m.haltPoll = 10 * time.Millisecond
	h.setState(testZone, zone.Running)
	h.on("zoneadm-halt", `state "$zone" shutting_down 7; touch "$dir/halting.$$"; await let-go; state "$zone" installed`)
	h.on("zoneadm-list", `echo >>"$dir/lists"; ordinary`)
	lists := func() int { return strings.Count(h.read("lists"), "\n") }
	for n := 1; n <= 2; n++ {
		err := haltUntil(h, m, "a halt to be under way", func() bool { return h.count("halting.*") == n })
		if !errors.Is(err, command.ErrLeft) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v, want that it was left", err)
		}
	}
	i, err := m.Look(bounded(t), testZone)
	if err != nil {
		t.Fatal(err)
	}
	if i.State != zone.ShuttingDown || !strings.Contains(i.Detail, "halt") {
		t.Errorf("it is %v, because %q", i.State, i.Detail)
	}
	// A halt that only waits lists the zone repeatedly.
	before := lists()
	err = haltUntil(h, m, "a halt to wait for others", func() bool { return lists() >= before+2 })
	if !errors.Is(err, command.ErrTooMany) || !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that it was waited for", err)
	}
	before = lists()
	last := begin(func() error { return m.Remove(bounded(t), zone.RungHalt, testZone) })
	// One list may be from the previous call.
	h.await("the last halt to wait for others", func() bool { return lists() >= before+3 })
	h.write("let-go", "")
	if err := <-last; err != nil {
		t.Errorf("a halt finished by an earlier client: %v", err)
	}
	if n := h.count("halting.*"); n != 2 {
		t.Errorf("%d halts were run, want 2:\n%s", n, h.log())
	}
}

// haltUntil halts the zone and cancels the context when a condition holds.
func haltUntil(h *scripted, m *Manager, what string, holds func() bool) error {
	h.t.Helper()
	ctx, cancel := context.WithCancel(bounded(h.t))
	defer cancel()
	ended := begin(func() error { return m.Remove(ctx, zone.RungHalt, testZone) })
	h.await(what, holds)
	cancel()
	return <-ended
}

// Failures of other commands do not prevent a halt.
func TestHaltAfterOtherFailures(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"list fails":       `[ -e "$dir/halted" ] && ordinary || exit 1`,
		"list is garbage":  `[ -e "$dir/halted" ] && ordinary || echo garbage`,
		"list lacks it":    `[ -e "$dir/halted" ] && ordinary; ` + listsNothing + "; " + saysZone,
		"list never comes": `[ -e "$dir/halted" ] && ordinary; await let-go`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			h.setState(testZone, zone.Running)
			h.on("zoneadm-list", list)
			h.on("pkill-run", "exit 3")
			h.on("zoneadm-halt", `ordinary; touch "$dir/halted"`)
			m := h.manager()
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := m.Remove(short, zone.RungKill, testZone); err == nil {
				t.Error("a kill that failed returned no error")
			}
			h.step(m, zone.RungHalt)
			if !h.has("halted") {
				t.Error("no halt was run")
			}
			h.write("let-go", "")
		})
	}
}
