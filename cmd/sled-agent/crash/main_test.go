package crash

import (
	"testing"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// firstVersion is what the agent says it is.
const firstVersion = "crash-1"

func TestMain(m *testing.M) {
	trial.Main(m, 12, agentProgram(firstVersion), trial.Program{Name: "propolis-sim"})
}

// agentProgram is the agent with its failpoints and a version of its own.
func agentProgram(version string) trial.Program {
	p := trial.Program{Name: "sled-agent", Flags: []string{"-tags", "failpoint", "-ldflags", "-X main.version=" + version}}
	// The e2e suite has the race detector in the same agent; here it would double
	// the time, which is mostly starts of processes.
	if trial.Race && everywhere {
		p.Flags = append(p.Flags, "-race")
	}
	return p
}
