package illumos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// The exit code of a halt says nothing; the state does.
func TestHaltBelievesTheState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"done, and says so", `state "$zone" installed`, ""},
		{"done, and says no", `state "$zone" installed; exit 1`, ""},
		{"done, by a zoneadmd that had to be restarted", `echo "WARNING: restarted zoneadmd to recover." >&2; ordinary`, ""},
		{"gone", `state "$zone" absent; exit 1`, ""},
		{"not done, and says it is", `state "$zone" down 7; echo "zone is already halted"`, "it is still down"},
		{"not done", `echo "zone '$zone': unable to destroy zone" >&2; exit 1`, "unable to destroy zone"},
	} {
		h := newScripted(t)
		h.setState(testZone, zone.ShuttingDown)
		h.on("zoneadm-halt", test.script)
		err := h.manager().Halt(bounded(t), testZone)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.err)
		}
	}
}

// zoneadm refuses to halt what has no files, and reports what has no processes
// as halted: there is nothing to do.
func TestHaltOfWhatIsNotActive(t *testing.T) {
	t.Parallel()
	for _, s := range zone.States() {
		if active(s) {
			continue
		}
		h := newScripted(t)
		h.setState(testZone, s)
		if err := h.manager().Halt(bounded(t), testZone); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		h.wantNothingRun(s)
	}
}

// A halt whose caller has gone goes on, is seen, and is not begun over and over.
func TestHaltIsLeftToItself(t *testing.T) {
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
	// A Halt that only waits looks again and again: once before, and more often then.
	before := lists()
	err = haltUntil(h, m, "a halt to wait for others", func() bool { return lists() >= before+2 })
	if !errors.Is(err, command.ErrTooMany) || !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that it was waited for", err)
	}
	last := make(chan error, 1)
	before = lists()
	go func() { last <- m.Halt(bounded(t), testZone) }()
	// One list may be of the call before.
	h.await("the last halt to wait for others", func() bool { return lists() >= before+3 })
	h.write("let-go", "")
	if err := <-last; err != nil {
		t.Errorf("a halt that others finish: %v", err)
	}
	if n := h.count("halting.*"); n != 2 {
		t.Errorf("%d halts were run, want 2:\n%s", n, h.log())
	}
}

// haltUntil calls Halt, and ends its context when a condition holds.
func haltUntil(h *scripted, m *Manager, what string, holds func() bool) error {
	h.t.Helper()
	ctx, cancel := context.WithCancel(bounded(h.t))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.Halt(ctx, testZone) }()
	h.await(what, holds)
	cancel()
	return <-ended
}
