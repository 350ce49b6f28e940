package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sledagent/sledagent/watchdog"
)

// heartbeatName cannot be a VMM's id or a zone's name.
const heartbeatName = "(heartbeat)"

// Heartbeat calls beat periodically while the watchdog works: each beat is a deadline like
// that of a stop. It is called once.
func (a *Agent) Heartbeat(every time.Duration, beat func()) {
	h := &heartbeat{guard: a.guard, every: every, beat: beat}
	a.guard.Add(heartbeatName, h)
	h.Gone(0)
}

type heartbeat struct {
	guard *watchdog.Guard
	every time.Duration
	beat  func()
	epoch atomic.Uint64
}

func (h *heartbeat) KillNow() bool          { return true }
func (h *heartbeat) Kill(context.Context)   {}
func (h *heartbeat) Remove(context.Context) { h.beat() }
func (h *heartbeat) Expired(_, _ uint64)    {}

// Gone arms the next beat.
func (h *heartbeat) Gone(uint64) { h.guard.Arm(heartbeatName, h.epoch.Add(1), time.Now().Add(h.every)) }
