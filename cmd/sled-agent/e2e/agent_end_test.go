package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// runs fails the test if the agent has ended (X).
func (l *sled) runs() {
	l.t.Helper()
	select {
	case <-l.exited:
		l.t.Fatalf("the agent ended by itself with status %d", l.status)
	default:
	}
}

// terminate ends the agent by SIGTERM and checks that it keeps its word about it.
func (l *sled) terminate() {
	l.t.Helper()
	l.runs()
	asked := time.Now()
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself just now; its status will tell.
	select {
	case <-l.exited:
		if took := trial.Own(asked, time.Now()); took > 5*time.Second {
			l.t.Errorf("the agent took %v to end", took)
		}
		if l.status != 0 {
			l.t.Errorf("the agent ended with status %d, want 0", l.status)
		}
	case <-time.After(10 * time.Second):
		l.t.Error("the agent still runs 10 s after SIGTERM")
		l.kill()
	}
}

// soundLog checks that the log is what it should be, one JSON object a line, and
// that no line of it comes from a program that broke.
func (l *sled) soundLog() {
	l.t.Helper()
	for line := range strings.Lines(l.said()) {
		var said struct{ Level, Message string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			l.t.Errorf("the agent's log has a line that is no JSON object: %s", line)
			return
		}
		if said.Level == "panic" || said.Level == "fatal" || strings.Contains(said.Message, "panic") {
			l.t.Errorf("the agent's log has: %s", line)
		}
	}
}
