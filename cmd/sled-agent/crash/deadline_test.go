package crash

import (
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// A deadline is kept on the clock that counts from the host's boot, which nobody
// sets, together with which boot that was. So no step of the wall clock, between
// two agents or during one, moves it (D).
func TestDeadlineIsKeptOnTheBootClock(t *testing.T) {
	t.Parallel()
	l := newSled(t, setup{modes: []string{"ignore-stop"}})
	v := l.newVM(t)
	v.launch()
	host := bootclock.Host()
	before := host.Now()
	s := v.stop(20 * time.Minute)
	after := host.Now()
	l.terminate()

	out, err := exec.Command(trial.Path("sled-agent"), "ledger", "dump", "--config", l.config).Output()
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		ID    string
		State struct {
			Boot     string
			Deadline struct {
				For string
				At  time.Duration `json:"at_ns"`
			}
		}
	}
	if err := json.Unmarshal(out, &kept); err != nil || kept.ID != v.id.String() {
		t.Fatalf("the ledger holds %s: %v", out, err)
	}
	d := kept.State.Deadline
	// The state may have been written once more after the stop, a moment late.
	if d.For != "stop" || d.At < before+s.grace-early || d.At > after+s.grace+early || kept.State.Boot != host.Boot() {
		t.Errorf("the ledger holds %+v; want a stop's deadline of boot %s from %v to %v", kept.State, host.Boot(), before+s.grace, after+s.grace)
	}
	l.revive(l.now())
	// A stop may bring the deadline forward.
	v.removedOnTime(v.stop(0))
	v.ends(vmm.WireDestroyed)
	l.conclude()
}

// Restarts during the grace period do not begin it anew (D).
func TestDeadlineOverManyRestarts(t *testing.T) {
	slow(t)
	t.Parallel()
	l := newSled(t, setup{modes: []string{"ignore-stop"}})
	v := l.newVM(t)
	v.launch()
	s := v.stop(2 * grace)
	for deadline := s.answered.Add(s.grace); ; {
		// An agent that began anew would still have most of the grace period to wait.
		next := time.Now().Add(grace / 2)
		if next.After(deadline) {
			break
		}
		v.dwell(time.Until(next))
		l.crash()
	}
	v.removedOnTime(s)
	v.ends(vmm.WireDestroyed)
	l.conclude()
}
