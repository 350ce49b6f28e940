package runner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// TestHistorySurvivesFloods: repeated events, of one kind or several in turn, remove neither
// the first events of a VMM nor rare ones.
func TestHistorySurvivesFloods(t *testing.T) {
	t.Parallel()
	floods := map[string]func(n int) (kind, text string){
		"alike":     func(int) (string, string) { return "stop", "by nexus, grace 1s" },
		"different": func(n int) (string, string) { return "stop", fmt.Sprintf("by nexus, grace %ds", n) },
		"in turn": func(n int) (string, string) {
			return []string{"stop", "reboot", "observed", "start"}[n%4], fmt.Sprint(n)
		},
		"two": func(n int) (string, string) { return []string{"silent", "speaks"}[n%2], fmt.Sprint(n / 2) },
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []vmm.Event
			add := func(kind, text string) {
				all = fold(all, vmm.Event{At: time.Unix(int64(len(all)), 0), Kind: kind, Text: text})
			}
			began := []string{"registered", "start", "zone-created", "zone-booted", "ensured", "run", "observed", "stop"}
			for _, kind := range began {
				add(kind, "first")
			}
			for n := range 5_000 {
				if n == 2_500 {
					add("lost", "once")
				}
				add(flood(n))
			}
			if len(all) > maxEvents {
				t.Errorf("%d events are remembered", len(all))
			}
			for i, kind := range began {
				if all[i].Kind != kind || all[i].Text != "first" {
					t.Errorf("event %d is %+v, want the first %q", i, all[i], kind)
				}
			}
			if !slices.ContainsFunc(all, func(e vmm.Event) bool { return e.Kind == "lost" }) {
				t.Errorf("what happened once in the flood is forgotten")
			}
			kind, text := flood(4_999)
			if last := all[len(all)-1]; last.Kind != kind || last.Text != text {
				t.Errorf("the last event is %+v, want %q %q", last, kind, text)
			}
		})
	}
}
