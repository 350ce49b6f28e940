package agent_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/vmm"
)

// Without a Nexus nothing waits for one, and nothing is published: a VMM that has ended can be
// read until it is unregistered, or for as long as an end is offered elsewhere.
func TestStandaloneAgentWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newHost(t)
		r.adjust = func(cfg *agent.Config) {
			cfg.Nexus, cfg.Limits.Standalone = publish.New(publish.Config{Log: zerolog.Nop()}), true
		}
		r.begin(nil, nil)
		look := func(v guest, state vmm.WireState, waits string) {
			t.Helper()
			s, err := r.Show(v.id)
			if err != nil || s.Record.VMM.State != state || s.WaitsFor != waits || s.Publish != nil {
				t.Errorf("%s, waits for %q, %+v, %v", s.Record.VMM.State, s.WaitsFor, s.Publish, err)
			}
		}
		v, other := r.register(), r.register()
		look(v, vmm.WireStarting, "a request to start or stop it")
		for _, g := range []guest{v, other} {
			r.run(g)
		}
		pass(time.Minute)
		look(v, vmm.WireRunning, "")
		for _, g := range []guest{v, other} {
			r.stop(g, nil)
		}
		pass(time.Minute)
		look(v, vmm.WireDestroyed, "")
		if record, err := r.Unregister(t.Context(), other.id); err != nil || record == nil || record.VMM.State != vmm.WireDestroyed {
			t.Errorf("unregistered: %+v, %v", record, err)
		}
		r.forgotten(other)
		pass(limits.GiveUpAfter - 5*time.Minute)
		look(v, vmm.WireDestroyed, "")
		pass(5 * time.Minute)
		r.forgotten(v)
		if n := r.GaveUp(); n != 0 {
			t.Errorf("%d ends count as never acknowledged", n)
		}
		r.close()
	})
}
