package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sledagent/sledagent/watchdog"
)

// heartbeatName is no VMM's id and no zone's name.
const heartbeatName = "(heartbeat)"

// Heartbeat calls beat every so often, for as long as the owner of the deadlines
// does its work: each beat is a deadline of its own, that passes like a stop's.
// It is called once.
func (a *Agent) Heartbeat(every time.Duration, beat func()) {
	h := &heartbeat{guard: a.guard, every: every, beat: beat}
	a.guard.Add(heartbeatName, h)
	h.Gone()
}

type heartbeat struct {
	guard *watchdog.Guard
	every time.Duration
	beat  func()
	epoch atomic.Uint64
}

func (h *heartbeat) Remove(ctx context.Context, salvo *watchdog.Salvo) {
	salvo.Aim(ctx)
	salvo.Shot()
	h.beat()
}

func (h *heartbeat) Expired(uint64) {}

// Gone arms the next beat.
func (h *heartbeat) Gone() { h.guard.Arm(heartbeatName, h.epoch.Add(1), time.Now().Add(h.every)) }
