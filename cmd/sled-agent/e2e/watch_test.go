package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// watchInterval is the interval of checks of a watched VMM.
const watchInterval = 15 * time.Millisecond

// A watch records what was observed of a VMM and what the test has done to it.
type watch struct {
	mu           sync.Mutex
	server       process   // the VM's server, once it is known
	serverEnd    time.Time // when the server's end was seen
	endAllowed   bool      // the VM was asked to end, or ends by itself
	unregistered bool
	over         bool // the test has seen its end
	lastGen      uint64
}

// mayEnd allows the VM to end from now on.
func (v *vm) mayEnd() {
	v.identifyServer()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.endAllowed = true
}

func (v *vm) mayHaveEnded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.endAllowed
}

func (v *vm) isOver() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.over
}

// beWatched watches the VMM's state and its server's process until the test ends.
func (v *vm) beWatched() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	v.t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			v.checkServer()
			v.checkState(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// checkServer checks that the VM's server runs as long as the VM must not end (R).
func (v *vm) checkServer() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.server.pid == 0 || !v.serverEnd.IsZero() || !v.server.gone() {
		return
	}
	v.serverEnd = time.Now()
	if !v.endAllowed {
		v.t.Errorf("the server of VMM %s, process %d, has ended and the VM was not ended", v.id, v.server.pid)
	}
}

// checkState checks that the VMM is not denied before its end is acknowledged (N) and that its generation
// never falls (T).
func (v *vm) checkState(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	got, err := v.ask(ctx, "GET", v.path()+"/state", nil)
	if err != nil {
		return // No agent runs at the moment.
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch got.status {
	case http.StatusServiceUnavailable:
	case http.StatusNotFound:
		if !v.unregistered && !v.acknowledged() {
			v.t.Errorf("VMM %s was denied before its end was acknowledged: %v", v.id, got)
			v.unregistered = true // It is reported only once.
		}
	case http.StatusOK:
		var r vmm.Record
		if err := json.Unmarshal(got.body, &r); err != nil {
			v.t.Errorf("the state was answered with %v: %v", got, err)
		}
		if r.VMM.Gen < v.lastGen {
			v.t.Errorf("VMM %s had generation %d and has %d now", v.id, v.lastGen, r.VMM.Gen)
		}
		v.lastGen = max(v.lastGen, r.VMM.Gen)
	default:
		v.t.Errorf("the state of VMM %s was answered with %v", v.id, got)
	}
}

// identifyServer records the process that serves a watched VMM, if it has a VM. The process must stay the same
// whatever happens to the agent.
func (v *vm) identifyServer() {
	v.mu.Lock()
	known := !v.setup.restarts || v.server.pid != 0 || v.endAllowed
	v.mu.Unlock()
	if known {
		return
	}
	var state struct{ VM *struct{ State string } }
	if err := v.control("GET", "state", nil, &state); err != nil || state.VM == nil {
		return
	}
	var servers []process
	for _, p := range processes(v.id.String()) {
		if strings.Contains(p.line, "propolis-sim run ") {
			servers = append(servers, p)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case len(servers) == 1:
		v.server = servers[0]
	case len(servers) > 1:
		v.t.Errorf("VMM %s has %d servers: %v", v.id, len(servers), servers)
	}
}

// serverEnded waits until the server's end was seen and returns that time.
func (v *vm) serverEnded() (at time.Time) {
	v.t.Helper()
	waitFor(v.t, func() string {
		v.mu.Lock()
		defer v.mu.Unlock()
		if at = v.serverEnd; at.IsZero() {
			return "the server of VMM " + v.id.String() + " runs, or was never seen"
		}
		return ""
	})
	return at
}
