package agent_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

// A missing answer of Propolis to the request with the VM ends no start: the VM may exist.
func TestMissingAnswerEndsNoStart(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"reset-ensure", "garbage-ensure", "babble-ensure", "flood-ensure", "refuse-ensure=503:Unavailable*3", "storm"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				r.misbehave(mode)
				v := r.register()
				r.run(v)
				pass(2 * time.Minute)
				if s, err := r.Show(v.id); err != nil || s.Outcome != "" {
					t.Fatalf("it shows %s, %q, %v", s.Phase, s.Reason, err)
				}
				r.fault(v, "slow-all=0s")
				r.await(v, vmm.WireRunning)
				r.stop(v, d(0))
				r.await(v, vmm.WireDestroyed)
			})
		})
	}
}

// A running VM survives a restart of the agent with only its zone in the ledger, even if
// its server answers with errors.
func TestFailingServerAfterARestart(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v := r.start()
		e, _ := m.entry(v.id)
		r.end()
		e.State.Phase, e.State.Armed = vmm.Ensuring, vmm.Deadline{For: vmm.ForStart, At: time.Now().Add(10 * time.Minute)}
		r.fault(v, "storm")
		r.begin(m, []ledger.Loaded{{ID: v.id, Entry: e}})
		pass(5 * time.Minute)
		r.fault(v, "slow-all=0s")
		pass(time.Minute)
		if s, err := r.Show(v.id); err != nil || s.Phase != "active" || r.sim(v).Status().VM.State != server.Running {
			t.Errorf("it shows %s, %q, %v", s.Phase, s.Reason, err)
		}
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
	})
}

// A server that is still creating the VM has none that can be run: after a restart in that
// time the agent asks again and does not treat it as an end.
func TestRestartWhileTheVMIsCreated(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		r.serve = func(netip.AddrPort) (sim.Options, bool) {
			return sim.Options{Times: sim.Times{Create: 3 * time.Minute}}, true
		}
		v := r.register()
		r.run(v)
		pass(time.Minute)
		r.restart(m)
		pass(10 * time.Minute)
		if s, err := r.Show(v.id); err != nil || s.Record.VMM.State != vmm.WireRunning {
			t.Errorf("it shows %s, %s, %q, %v", s.Phase, s.Record.VMM.State, s.Reason, err)
		}
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
	})
}

// supervised is a server process that its host restarts when it ends.
type supervised struct {
	sim.Process
	r    *rig
	addr netip.AddrPort
}

func (p supervised) Crash() {
	p.r.net.refuse(p.addr.String())
	time.AfterFunc(time.Second, func() { p.r.booted("", p.addr) })
}

// The start fails if the server ends each time it receives the VM and is restarted without
// one. If the server recovers, the start succeeds.
func TestServerThatExitsOnEnsure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode  string
		times int
		want  vmm.WireState
	}{
		{"crash-before-ensure", 100, vmm.WireFailed},
		{"crash-in-creating", 100, vmm.WireFailed},
		{"crash-before-ensure", 2, vmm.WireRunning},
	} {
		t.Run(fmt.Sprintf("%s, %d times", test.mode, test.times), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				faults, err := sim.ParseFaults(test.mode)
				if err != nil {
					t.Fatal(err)
				}
				boots := 0
				r.serve = func(addr netip.AddrPort) (sim.Options, bool) {
					if boots++; boots > test.times {
						faults = sim.Faults{}
					}
					return sim.Options{Faults: faults, Process: supervised{r: r, addr: addr}}, true
				}
				v := r.register()
				begun := time.Now()
				r.run(v)
				r.await(v, test.want)
				r.took(begun, 0, time.Minute)
				if test.want == vmm.WireRunning {
					r.stop(v, d(0))
					r.await(v, vmm.WireDestroyed)
				}
			})
		})
	}
}
