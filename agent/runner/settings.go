package runner

import (
	"sync/atomic"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Settings are what all VMMs of a sled share and what may change while they run. They count
// from a VMM's next step on, as after a restart of the agent: deadlines that are armed stay as
// they are. Set must have been called once before the first Runner is made. The methods are
// safe for concurrent use.
type Settings struct{ now atomic.Pointer[settings] }

type settings struct {
	limits   vmm.Limits
	evidence time.Duration
}

// Set changes the settings.
func (s *Settings) Set(limits vmm.Limits, evidence time.Duration) {
	s.now.Store(&settings{limits, evidence})
}

// Limits are the limits of all VMMs.
func (s *Settings) Limits() vmm.Limits { return s.now.Load().limits }

// Evidence is the budget for saving what a kill would leave unexplained, once before each
// deadline and once after the kill.
func (s *Settings) Evidence() time.Duration { return s.now.Load().evidence }
