package e2e

import (
	"testing"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// The simulator is not under test here, so it does without the race detector.
func TestMain(m *testing.M) {
	agent := trial.Program{Name: "sled-agent"}
	if trial.Race {
		agent.Flags = []string{"-race"}
	}
	atOnce := 16
	if backend == "illumos" {
		atOnce = 8 // They do not wait so much: each step of a zone's is a command.
	}
	trial.Main(m, atOnce, agent, trial.Program{Name: "propolis-sim"})
}
