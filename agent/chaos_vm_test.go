package agent_test

import (
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// vm is one VMM and its permitted results.
type vm struct {
	guest
	key string
	reg *vmm.Registration
	src bool // it is a migration target

	mu sync.Mutex
	// why is what permits its end; destroyed and failed are the permitted results.
	why               []string
	destroyed, failed bool
	registered, over  bool
	stopped, disowned bool // a stop or an unregister was accepted
	isLost, wasOnce   bool
	// deadline is when its removal must begin, removal when it did.
	deadline, removal time.Time
	first, last       time.Time // denials of its end by Nexus
	gen               uint64
	armed             map[string]time.Time
	started           time.Time
	boot              string // the incarnation in which it runs; empty before
}

func (v *vm) may(destroyed, failed bool, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.why = append(v.why, why)
	v.destroyed = v.destroyed || destroyed
	v.failed = v.failed || failed && (!v.stopped || v.isLost)
}

func (v *vm) asked(why string)  { v.may(true, false, why) }
func (v *vm) dies(why string)   { v.may(false, true, why) }
func (v *vm) excuse(why string) { v.may(false, true, why) }

func (v *vm) mayEnd() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.why) > 0
}

// wasLost records that the state on disk is older than one that had effects: an accepted
// stop may be lost and must be repeated.
func (v *vm) wasLost() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.isLost, v.wasOnce = true, true
	v.stopped, v.disowned, v.deadline = false, false, time.Time{}
	v.failed = v.failed || len(v.why) > 0
	clear(v.armed)
}

func (v *vm) everLost() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wasOnce
}

// found reports whether a lost request must be repeated.
func (v *vm) found() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.isLost
	v.isLost = false
	return was
}

// removed records a step of a removal, and reports whether it is not permitted.
func (v *vm) removed(alive bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.why) > 0 && v.removal.IsZero() {
		v.removal = time.Now()
	}
	return alive && len(v.why) == 0
}

func (v *vm) published(w *world) {
	v.mu.Lock()
	bad := v.disowned
	v.mu.Unlock()
	if bad {
		w.errorf(v, "published after it was unregistered")
	}
}

func (v *vm) denied() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last = time.Now(); v.first.IsZero() {
		v.first = v.last
	}
}

// rest lets time pass while everything else continues. The test runs in a bubble.
func rest(d time.Duration) { time.Sleep(d) } // sleep: in a bubble
