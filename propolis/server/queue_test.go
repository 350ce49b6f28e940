package server

import (
	"strings"
	"testing"
)

// TestRulings compares the rules with the published table: one line per request, one
// column per standing.
func TestRulings(t *testing.T) {
	t.Parallel()
	requests := map[string]Request{"run": Run, "stop": Stop, "reboot": Reboot}
	standings := []standing{notStarted, startPending, started, stopQueued, migrateOutQueued, over}
	const table = `
		run    | queue             | ignore                          | ignore | Instance is preparing to stop | ignore                         | Instance has ended
		stop   | queue             | queue                           | queue  | ignore                        | queue                          | ignore
		reboot | Instance is not active | Instance is currently starting | queue  | Instance is preparing to stop | Instance is a migration source | Instance has ended`
	for line := range strings.Lines(strings.TrimSpace(table)) {
		cells := strings.Split(line, "|")
		r := requests[strings.TrimSpace(cells[0])]
		for i, at := range standings {
			if got, want := string(rule(at, false, r)), strings.TrimSpace(cells[i+1]); got != want {
				t.Errorf("%s when %s: %s, want %s", strings.TrimSpace(cells[0]), at, got, want)
			}
		}
	}
	if got := rule(started, true, Reboot); got != ignore {
		t.Errorf("second reboot: %s, want it ignored", got)
	}
	if got := rule(stopQueued, true, Reboot); got != haltPending {
		t.Errorf("second reboot behind a stop: %s, want it denied", got)
	}
}
