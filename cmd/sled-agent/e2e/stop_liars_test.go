package e2e

import (
	"testing"
	"time"
)

// grace is the grace period of most stops here: long enough to tell a removal at
// the deadline from one at once, and as short as can be.
const grace = 1500 * time.Millisecond

// Whatever Propolis answers to a stop or does instead of stopping, the zone is
// removed at the deadline and the VMM ends Destroyed (D, Z, T).
func TestStopOfALiarEndsAtTheDeadline(t *testing.T) {
	l := sharedSled(t)
	for name, lies := range map[string][]string{
		"accepts and does nothing":            {"ignore-stop"},
		"stays Stopping":                      {"stay-stopping"},
		"stays Stopped":                       {"stay-stopped"},
		"never answers the request":           {"hang-stop"},
		"reads the request's headers only":    {"deaf-stop"},
		"stops halfway and never answers":     {"mute-stop", "stay-stopping"},
		"sends half an answer":                {"half-stop", "stay-stopping"},
		"sends the answer byte by byte":       {"trickle-stop=30s", "stay-stopping"},
		"resets the connection":               {"reset-stop"},
		"answers with rubbish":                {"garbage-stop", "stay-stopping"},
		"answers in no known protocol":        {"babble-stop", "stay-stopping"},
		"answers without an end":              {"flood-stop", "stay-stopping"},
		"refuses with 400":                    {"refuse-stop=400"},
		"refuses with 403":                    {"refuse-stop=403"},
		"refuses with 404":                    {"refuse-stop=404"},
		"refuses with 409":                    {"refuse-stop=409:AlreadyRunning"},
		"refuses with 424":                    {"refuse-stop=424:NoInstance"},
		"refuses with 500":                    {"refuse-stop=500:Internal"},
		"refuses with 503":                    {"refuse-stop=503"},
		"refuses everything":                  {"storm"},
		"never answers anything":              {"hang-all"},
		"is deaf to everything":               {"deaf-all"},
		"accepts, and its monitor hangs":      {"ignore-stop", "hang-monitor"},
		"accepts, and its monitor trickles":   {"ignore-stop", "trickle-monitor=30s"},
		"accepts, and its monitor has no end": {"ignore-stop", "flood-monitor"},
		"lets generations fall":               {"stay-stopping", "backwards"},
		"lets go of the connection each time": {"reset-all"},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(lies...)
			s := v.stop(grace)
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}
