package crash

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// nothingLeft checks promise L once all VMMs are over.
func (l *sled) nothingLeft() {
	l.t.Helper()
	trial.Until(l.t, 10*time.Second, func() string {
		left := leftovers(l.zonesDir())
		for _, v := range l.made() {
			left = append(left, cgroups(v.id.String())...)
		}
		for _, dir := range []string{l.zonesDir(), l.temp()} {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				left = append(left, filepath.Join(dir, e.Name()))
			}
		}
		return strings.Join(left, ", ")
	})
}

// truthful checks that Nexus has heard no contradiction.
func (l *sled) truthful() {
	l.t.Helper()
	for _, v := range l.nexus.Violations() {
		l.t.Errorf("Nexus was told a contradiction: %s: VMM %s: %s", v.Rule, v.VMM, v.Text)
	}
}

// conclude checks what must be so when all VMMs are over, and ends the agent.
func (l *sled) conclude() {
	l.t.Helper()
	l.nothingLeft()
	l.terminate()
	l.truthful()
	if left := leftovers(l.dir); len(left) > 0 {
		l.t.Errorf("after the agent's end there is still: %v", left)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.agents {
		for _, word := range []string{"DATA RACE", "panic:", "fatal error:", `"level":"panic"`} {
			if strings.Contains(a.said(), word) {
				l.t.Errorf("the agent's log has %q", word)
			}
		}
	}
}

// clean removes what the test has left.
func (l *sled) clean() {
	if len(l.agents) > 0 && l.now().running() {
		l.kill()
	}
	l.client.CloseIdleConnections()
	l.admin.Close()
	l.nexus.Close()
	if l.t.Failed() {
		for _, a := range l.agents {
			l.t.Logf("agent %d, %v:\n%s", a.pid(), a.how, a.said())
		}
		killLeftovers(l.dir)
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Errorf("remove the test's directory: %v", err)
	}
}
