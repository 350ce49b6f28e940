package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// A registration may be repeated and returns the present state.
func TestRegisterAgain(t *testing.T) {
	h := sharedHarness(t)
	v := h.register()
	again := func(want vmm.WireState) {
		t.Helper()
		got := h.call("PUT", v.path(), v.body).wants(t, http.StatusOK).record(t).VMM
		if got.State != want || want == vmm.WireStarting && got.Gen != 2 {
			t.Errorf("registered again, it is %v, want %s", got, want)
		}
	}
	again(vmm.WireStarting)
	v.launch()
	again(vmm.WireRunning)
	v.setFaults("ignore-stop")
	s := v.stop(longer)
	again(vmm.WireStopping)
	v.removedAtDeadline(s)
	v.endsDestroyed()
}

// Another instance's VMM with the same id is a conflict and changes nothing.
func TestRegisterAnotherInstance(t *testing.T) {
	h := sharedHarness(t)
	v := h.launch()
	other := wire.NewBody(wire.BodyOptions{InstanceID: uuid.New(), PropolisAddr: v.serverAddr})
	h.call("PUT", v.path(), other).wants(t, http.StatusConflict)
	if got := v.record().VMM.State; got != vmm.WireRunning {
		t.Errorf("after the conflict the VMM is %s", got)
	}
	v.stopAndEnd()
}

// A run may be repeated, too.
func TestRunAgain(t *testing.T) {
	v := sharedHarness(t).register()
	for range 3 {
		v.run()
	}
	v.launch()
	if n := v.calls()["ensure"]; n != 1 {
		t.Errorf("Propolis was told %d times to make the VM", n)
	}
	if n := v.count("zone-created"); n != 1 {
		t.Errorf("%d zones were made", n)
	}
	v.stopAndEnd()
}

// For an unregistered VMM everything is answered 404 with its code, except for an unregistration, which
// has nothing to do.
func TestUnknownVMM(t *testing.T) {
	h := sharedHarness(t)
	path := "/vmms/" + uuid.NewString()
	for _, ask := range []struct {
		method, path string
		body         []byte
	}{
		{"GET", path + "/state", nil},
		{"PUT", path + "/state", stateBody("running")},
		{"PUT", path + "/state", stateBody("stopped")},
		{"PUT", path + "/state?grace=1s", stateBody("stopped")},
		{"PUT", path + "/state", stateBody("reboot")},
		{"PUT", path + "/state", migrateBody("[::1]:12400")},
		{"POST", path + "/disks/" + uuid.NewString() + "/snapshot", snapshotBody()},
	} {
		if got := h.call(ask.method, ask.path, ask.body); got.status != 404 || got.code() != "NO_SUCH_INSTANCE" {
			t.Errorf("%s %s %s: got %v, want 404 NO_SUCH_INSTANCE", ask.method, ask.path, ask.body, got)
		}
	}
	if got := h.call("DELETE", path, nil).wants(t, http.StatusOK); got.updated(t) != nil {
		t.Errorf("unregister: got %v, want null", got)
	}
}

// Of two VMMs with the same address the second cannot be started, and the first is not affected.
func TestTwoVMMsWithOneAddress(t *testing.T) {
	h := sharedHarness(t)
	first := h.launch()
	before, calls := first.record(), first.calls()
	second := h.newVMWith(wire.BodyOptions{PropolisAddr: first.serverAddr}).register()
	second.run()
	second.endsFailed()
	if after := first.record(); after != before {
		t.Errorf("the first VMM was %v and is %v", before, after)
	}
	now := first.calls()
	for _, call := range []string{"ensure", "run", "stop", "reboot"} {
		if now[call] != calls[call] {
			t.Errorf("the first VMM's server was called %q for the second: %v", call, now)
		}
	}
	first.stopAndEnd()
}

// The same if both start at once: one runs, and its server was asked to make only one VM.
func TestTwoVMMsRaceForOneAddress(t *testing.T) {
	h := sharedHarness(t)
	o := wire.BodyOptions{PropolisAddr: freeAddr(t)}
	a, b := h.newVMWith(o).register(), h.newVMWith(o).register()
	a.run()
	b.run()
	winner, loser := a, b
	waitFor(t, func() string {
		if row, _ := h.nexus.Row(a.id); row.State().Terminal() {
			winner, loser = b, a
		}
		if row, _ := h.nexus.Row(loser.id); !row.State().Terminal() {
			return "none of the two has failed"
		}
		return ""
	})
	loser.endsFailed()
	winner.reaches(vmm.WireRunning)
	if n := winner.calls()["ensure"]; n != 1 {
		t.Errorf("the winner's server was told %d times to make a VM", n)
	}
	winner.stopAndEnd()
}

// An unregister returns the VMM's end. Afterwards Nexus receives no more records of it and nothing is left.
func TestUnregister(t *testing.T) {
	h := sharedHarness(t)
	for name, prepare := range map[string]func(*harness) *vm{
		"a VMM that was never started": (*harness).register,
		"a VMM that runs":              (*harness).launch,
		"a VMM that is being started":  func(h *harness) *vm { v := h.register(); v.run(); return v },
		"a VMM whose start hangs": func(h *harness) *vm {
			v := h.registerWith(withFaults("hang-ensure"))
			v.run()
			v.event("zone-booted")
			return v
		},
		"a VMM that is being stopped": vmCase{faults: []string{"hang-stop"}, do: func(v *vm) { v.stop(never) }}.launch,
		"a VMM whose server hangs":    faults("hang-all").launch,
	} {
		t.Run(name, func(t *testing.T) {
			v := prepare(h.in(t))
			before := v.record().VMM.Gen
			end := v.unregister()
			want := vmm.WireFailed
			if v.count("stop") > 0 {
				want = vmm.WireDestroyed // A requested stop ends as a stop, however it ends (T).
			}
			if end == nil || end.VMM.State != want || end.VMM.Gen <= before {
				t.Fatalf("the unregister was answered with %v, want %s after generation %d", end, want, before)
			}
			answered := time.Now()
			v.gone()
			if after := v.unregister(); after != nil && after.VMM != end.VMM {
				t.Errorf("a second unregister was answered with %v, the first with %v", after, end)
			}
			v.forgotten()
			v.notPublished(answered, end.VMM.Gen)
		})
	}
}

// notPublished checks, for a while, that Nexus receives nothing after an unregister was answered, and at no
// time a generation from the given one on. One update may have been under way when the answer arrived,
// since only one is sent at a time.
func (v *vm) notPublished(answered time.Time, from uint64) {
	v.t.Helper()
	pause(600 * time.Millisecond)
	after := 0
	for _, p := range v.nexus.received(v.id) {
		if p.At.After(answered) {
			after++
		}
		if after > 1 {
			v.t.Errorf("Nexus received %v after the unregister was answered, and %d others before it", p.Record.VMM, after-1)
		}
		if p.Record.VMM.Gen >= from {
			v.t.Errorf("Nexus received %v, but must receive nothing from generation %d on", p.Record.VMM, from)
		}
	}
}

// An ended VMM that waits for Nexus's acknowledgment belongs to Nexus once it is unregistered.
func TestUnregisterOfAnEndedVMM(t *testing.T) {
	h := newHarness(t, setup{})
	v := h.launch()
	h.nexus.setFaults("status=503")
	v.stop(0)
	v.event("terminal")
	end := v.unregister()
	if end == nil || end.VMM.State != vmm.WireDestroyed {
		t.Fatalf("the unregister was answered with %v, want the end that there was", end)
	}
	answered := time.Now()
	h.nexus.setFaults()
	v.forgotten()
	v.notPublished(answered, end.VMM.Gen+1)
}

// Repeated registering and unregistering in quick succession leaves nothing.
func TestRegisterAndUnregister(t *testing.T) {
	h := sharedHarness(t)
	for i := range 30 {
		v := h.register()
		if i%2 == 0 {
			v.run()
		}
		if got := v.unregister(); got == nil || got.VMM.State != vmm.WireFailed {
			t.Errorf("the unregister was answered with %v", got)
		}
		v.forgotten()
	}
}

// The operator's kill begins at once and ends Destroyed, whatever the VMM waits for.
func TestOperatorsKill(t *testing.T) {
	h := sharedHarness(t)
	for name, c := range map[string]vmCase{
		"of a VMM that runs":     {},
		"of a server that hangs": faults("hang-all"),
		"during a stop":          {faults: []string{"hang-stop"}, do: func(v *vm) { v.stop(never) }},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.launch(h.in(t))
			if _, err := h.admin.Kill(bounded(t), v.id); err != nil {
				t.Fatal(err)
			}
			v.endsDestroyed()
		})
	}
}
