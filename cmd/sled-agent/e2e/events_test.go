package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// history returns the VMM's events so far, in order.
func (v *vm) history() []vmm.Event { v.t.Helper(); return v.status().Events }

// event returns the VMM's first event of a kind.
func (v *vm) event(kind string) vmm.Event { v.t.Helper(); return v.eventAfter(kind, "", time.Time{}) }

// observed waits for Propolis's report of a state.
func (v *vm) observed(state string) { v.t.Helper(); v.eventAfter("observed", state, time.Time{}) }

// eventAfter waits for the VMM's first event of a kind whose text has this prefix and that happened,
// or was repeated, after since.
func (v *vm) eventAfter(kind, text string, since time.Time) (found vmm.Event) {
	v.t.Helper()
	waitFor(v.t, func() string {
		events := v.history()
		for _, e := range events {
			last := e.At
			if e.Last != nil {
				last = *e.Last
			}
			if e.Kind == kind && strings.HasPrefix(e.Text, text) && last.After(since) {
				found = e
				return ""
			}
		}
		return fmt.Sprintf("VMM %s has no event %s %s; there were%s", v.id, kind, text, listed(events))
	})
	return found
}

// listed formats events one per line.
func listed(events []vmm.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %s %s %s %s", e.At.Format("05.000"), e.Kind, e.Text, e.Error)
	}
	return b.String()
}

// count returns how many events of a kind a VMM has had so far.
func (v *vm) count(kind string) (n int) {
	v.t.Helper()
	for _, e := range v.history() {
		if e.Kind == kind {
			n += max(e.Times, 1)
		}
	}
	return n
}

// A client that follows the agent's events receives all events of a VMM, in order.
func TestEvents(t *testing.T) {
	h := newHarness(t, setup{})
	var got []string
	done := make(chan error, 1)
	go func() {
		for e, err := range h.admin.Events(bounded(t), admin.EventQuery{Past: 1000, Follow: true}) {
			if got = append(got, e.Kind); err != nil || e.Lost > 0 || e.Kind == "forgotten" {
				done <- err
				return
			}
		}
	}()
	h.launch().stopAndEnd()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rest := got
	for _, kind := range []string{"registered", "zone-booted", "run", "stop", "removal", "gone", "terminal", "published", "forgotten"} {
		i := 0
		for i < len(rest) && rest[i] != kind {
			i++
		}
		if i == len(rest) {
			t.Fatalf("there is no %s where it should be: %q", kind, got)
		}
		rest = rest[i+1:]
	}
}
