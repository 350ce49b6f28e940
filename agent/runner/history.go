package runner

import (
	"slices"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// maxEvents is how many of a VMM's events are remembered.
const maxEvents = 100

// fold adds an event to a history. A repeat of an earlier event is counted there
// instead: a rung of a removal that is retried, or a request that is repeated,
// must not push out the beginning of the history.
func fold(events []vmm.Event, e vmm.Event) []vmm.Event {
	for i := range slices.Backward(events) {
		was := &events[i]
		if was.Kind == "removal" || !zone.Rung(e.Kind).Valid() && i < len(events)-1 {
			break
		}
		if was.Kind == e.Kind && (was.Error == "") == (e.Error == "") && (zone.Rung(e.Kind).Valid() || was.Text == e.Text) {
			was.Times = max(was.Times, 1) + 1
			was.Last, was.Took, was.Error, was.Text = &e.At, e.Took, e.Error, e.Text
			return events
		}
	}
	if len(events) == maxEvents {
		at := expendable(events)
		events = append(events[:at], events[at+1:]...)
	}
	return append(events, e)
}

// expendable is the event that makes room for another one: of the kind of which
// there are most, the oldest but the first. Many events of one kind push out only
// their own kind, and the beginning stays.
func expendable(events []vmm.Event) int {
	count, most := map[string]int{}, 0
	for _, e := range events {
		count[e.Kind]++
		most = max(most, count[e.Kind])
	}
	first := map[string]bool{}
	for i, e := range events {
		if count[e.Kind] == most && first[e.Kind] {
			return i
		}
		first[e.Kind] = true
	}
	return 0
}
