package crash

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// lookEvery is how often a witness looks.
const lookEvery = 15 * time.Millisecond

// witnessed sends a witness, who looks at the VMM's state and at its server's
// process until the test ends.
func (v *vm) witnessed() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	v.t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			v.lookAtServer()
			v.lookAtState(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// lookAtServer checks that the VM's server lives as long as nobody ends the VM (R).
func (v *vm) lookAtServer() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if (v.server == process{}) || !v.ended.IsZero() || v.server.lives() {
		return
	}
	v.ended = time.Now()
	if !v.mayEnd {
		v.t.Errorf("the server of VMM %s, process %v, has ended and nobody had ended the VM", v.id, v.server)
	}
}

// lookAtState checks that the VMM is not disowned before its time (N) and that
// its generation never falls (T).
func (v *vm) lookAtState(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, trial.Patience)
	defer cancel()
	got, err := v.l.ask(ctx, "GET", v.path()+"/state", nil)
	if err != nil {
		return // There is no agent just now.
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch got.status {
	case http.StatusServiceUnavailable:
	case http.StatusNotFound:
		if !v.hand && !v.acknowledged() {
			v.t.Errorf("VMM %s was disowned before its end was acknowledged: %v", v.id, got)
			v.hand = true // once is enough
		}
	case http.StatusOK:
		var r vmm.Record
		if err := json.Unmarshal(got.body, &r); err != nil {
			v.t.Errorf("the state was answered with %v: %v", got, err)
		}
		if r.VMM.Gen < v.seenGen {
			v.t.Errorf("VMM %s had generation %d and has %d now", v.id, v.seenGen, r.VMM.Gen)
		}
		v.seenGen = max(v.seenGen, r.VMM.Gen)
	default:
		v.t.Errorf("the state of VMM %s was answered with %v", v.id, got)
	}
}

// ends waits until Nexus has acknowledged the VMM's end in this state, and the
// agent has forgotten it (T, N).
func (v *vm) ends(state vmm.WireState) {
	v.t.Helper()
	row := v.row("ended", func(r nexussim.Row) bool { return r.State().Terminal() && r.Acked >= r.Gen() })
	if row.State() != state {
		v.t.Errorf("VMM %s ended %s, want %s: %s", v.id, row.State(), state, described(row))
	}
	last, ends := uint64(0), 0
	for _, seen := range row.History {
		if seen.Gen <= last {
			v.t.Errorf("generations of VMM %s do not rise: %s", v.id, described(row))
		}
		last = seen.Gen
		if seen.State.Terminal() {
			ends++
		}
	}
	if ends != 1 {
		v.t.Errorf("VMM %s has ended %d times: %s", v.id, ends, described(row))
	}
	v.forgotten()
}

// endsInSilence waits until the agent has forgotten a VMM that was unregistered,
// and checks that it told Nexus of no end.
func (v *vm) endsInSilence() {
	v.t.Helper()
	v.forgotten()
	if row, _ := v.l.nexus.Row(v.id); row.State().Terminal() {
		v.t.Errorf("VMM %s was unregistered, and an end was published: %s", v.id, described(row))
	}
}

func (v *vm) forgotten() {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		got, _ := v.insist("GET", v.path()+"/state", nil)
		if got.status != http.StatusNotFound {
			return "VMM " + v.id.String() + " is known: " + got.String()
		}
		return ""
	})
}

const (
	// early is by how much a witness may see a server end before it does.
	early = 50 * time.Millisecond
	// late is how much later than the deadline a removal may begin (D).
	late = time.Second
)

// serverEnded waits until the server's end was seen and returns when that was.
func (v *vm) serverEnded() (at time.Time) {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		v.mu.Lock()
		defer v.mu.Unlock()
		if at = v.ended; at.IsZero() {
			return "the server of VMM " + v.id.String() + " runs, or was never seen"
		}
		return ""
	})
	return at
}

// removedOnTime checks that the server was killed at the stop's deadline. Only
// the time in which there was no agent may have been added to it.
func (v *vm) removedOnTime(s stop) {
	v.t.Helper()
	at := v.serverEnded()
	if before := s.sent.Add(s.grace).Sub(at); before > early {
		v.t.Errorf("the removal began %v before the deadline", before)
	}
	deadline := s.answered.Add(s.grace)
	behind, down := trial.Own(deadline, at), v.l.downtime(s.sent, at)
	v.t.Logf("the removal began %d ms after the deadline; the agent was down for %d ms", behind.Milliseconds(), down.Milliseconds())
	if behind > late+down {
		v.t.Errorf("the removal began %v after the deadline, and the agent was down for %v", behind, down)
	}
}
