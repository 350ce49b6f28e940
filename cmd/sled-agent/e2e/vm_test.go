package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// The grace periods of stops.
const (
	// grace is the usual one: long enough to distinguish a removal at the deadline from one at
	// once, otherwise as short as possible.
	grace = 1500 * time.Millisecond
	// longer is for a VMM that gets another request before its end: long enough for that, even on a
	// busy machine.
	longer = 6 * time.Second
	// never does not pass during a test.
	never = 30 * time.Minute
)

// A vm is a VMM of a test, with its Propolis server.
type vm struct {
	*harness
	id         uuid.UUID
	serverAddr netip.AddrPort
	body       []byte
	watch
}

// newVM makes a VMM that the agent does not know yet.
func (h *harness) newVM() *vm {
	h.t.Helper()
	return h.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(h.t), NICs: 1})
}

func (h *harness) newVMWith(o wire.BodyOptions) *vm {
	v := &vm{harness: h, id: uuid.New(), serverAddr: o.PropolisAddr, body: wire.NewBody(o)}
	h.own.add(v)
	return v
}

// register registers the VMM with the agent.
func (v *vm) register() *vm {
	v.t.Helper()
	got, repeated := v.try("PUT", v.path(), v.body)
	if r := got.wants(v.t, http.StatusOK).record(v.t); r.VMM.Gen != 2 && !repeated {
		v.t.Fatalf("registered with generation 2, the answer has %d", r.VMM.Gen)
	}
	if v.setup.restarts {
		v.beWatched()
	}
	return v
}

// register registers a new VMM.
func (h *harness) register() *vm { h.t.Helper(); return h.newVM().register() }

// launch registers and starts a new VMM and waits until it runs.
func (h *harness) launch() *vm { h.t.Helper(); return h.register().launch() }

// launch starts the VMM and waits until it runs.
func (v *vm) launch() *vm {
	v.t.Helper()
	v.run()
	v.reaches(vmm.WireRunning)
	v.identifyServer()
	return v
}

// launchWith is launch for a server with a shell line.
func (h *harness) launchWith(script string) *vm {
	h.t.Helper()
	return h.registerWith(script).launch()
}

func (h *harness) registerWith(script string) *vm {
	h.t.Helper()
	v := h.register()
	v.serverScript(script)
	return v
}

// launchMany registers and runs VMMs concurrently.
func (h *harness) launchMany(n int) (vms []*vm) {
	h.t.Helper()
	for range n {
		v := h.register()
		v.run()
		vms = append(vms, v)
	}
	for _, v := range vms {
		v.reaches(vmm.WireRunning)
		v.identifyServer()
	}
	return vms
}

// zone returns the name of the VMM's zone.
func (v *vm) zone() string { return zonePrefix + v.id.String() }

func (v *vm) path() string { return "/vmms/" + v.id.String() }

// putState requests a wire state, with a query such as "grace=1s".
func (v *vm) putState(state, query string) answer {
	v.t.Helper()
	return v.call("PUT", v.path()+"/state?"+query, stateBody(state))
}

func stateBody(state string) []byte { return fmt.Appendf(nil, `{"state":{"type":%q}}`, state) }

// run starts the VMM and returns at once. If the answer to an earlier request was lost, the VMM may already be
// over.
func (v *vm) run() {
	v.t.Helper()
	got, repeated := v.try("PUT", v.path()+"/state", stateBody("running"))
	if repeated && (got.status == http.StatusOK || v.mayHaveEnded()) {
		return
	}
	if u := got.wants(v.t, http.StatusOK).updated(v.t); u != nil {
		v.t.Fatalf("run was answered with %v, want null", u)
	}
}

// A stop is an accepted stop.
type stop struct {
	sent  time.Time
	grace time.Duration
}

// stop stops the VMM with a grace period.
func (v *vm) stop(grace time.Duration) stop {
	v.t.Helper()
	v.mayEnd()
	s := stop{sent: time.Now(), grace: grace}
	got, repeated := v.try("PUT", v.path()+"/state?grace="+grace.String(), stateBody("stopped"))
	if repeated && got.status == http.StatusNotFound && v.acknowledged() {
		return s
	}
	u := got.wants(v.t, http.StatusOK).updated(v.t)
	if u == nil || u.VMM.State != vmm.WireStopping && u.VMM.State != vmm.WireDestroyed {
		v.t.Errorf("a stop was answered with %v", got)
	}
	return s
}

// stopAll sets the faults of all servers, if any, and then stops all VMMs concurrently.
func stopAll(vms []*vm, grace time.Duration, faults ...string) []stop {
	for _, v := range vms {
		if len(faults) > 0 {
			v.setFaults(faults...)
		}
	}
	stops := make([]stop, len(vms))
	var wg sync.WaitGroup
	for i, v := range vms {
		wg.Go(func() { stops[i] = v.stop(grace) })
	}
	wg.Wait()
	return stops
}

// stopAllAtDeadline stops VMMs that do not stop by themselves, and waits for their ends.
func stopAllAtDeadline(vms []*vm, grace time.Duration, faults ...string) {
	stops := stopAll(vms, grace, faults...)
	for i, v := range vms {
		v.t.Helper()
		v.removedAtDeadline(stops[i])
	}
	for _, v := range vms {
		v.endsDestroyed()
	}
}

// stopAndEnd stops the VMM and waits for its end.
func (v *vm) stopAndEnd() { v.t.Helper(); v.stop(never); v.endsDestroyed() }

// stopsAtDeadline stops the VMM, which does not stop by itself, and waits for its end.
func (v *vm) stopsAtDeadline(grace time.Duration) {
	v.t.Helper()
	v.removedAtDeadline(v.stop(grace))
	v.endsDestroyed()
}

// unregister unregisters the VMM and returns the answer's record.
func (v *vm) unregister() *vmm.Record {
	v.t.Helper()
	v.mayEnd()
	v.mu.Lock()
	v.unregistered = true
	v.mu.Unlock()
	return v.call("DELETE", v.path(), nil).wants(v.t, http.StatusOK).updated(v.t)
}

// readState reads the VMM's state.
func (v *vm) readState() answer { v.t.Helper(); return v.call("GET", v.path()+"/state", nil) }

// record is readState for a VMM that the agent knows.
func (v *vm) record() vmm.Record {
	v.t.Helper()
	return v.readState().wants(v.t, http.StatusOK).record(v.t)
}

// is waits until the agent reports the state.
func (v *vm) is(state vmm.WireState) {
	v.t.Helper()
	waitFor(v.t, func() string {
		if got := v.record().VMM.State; got != state {
			return fmt.Sprintf("VMM %s is %s, not %s", v.id, got, state)
		}
		return ""
	})
	v.identifyServer()
}

// status returns the VMM's status in the admin API.
func (v *vm) status() (s vmm.Status) {
	v.t.Helper()
	ctx := bounded(v.t)
	waitFor(v.t, func() string {
		var err error
		if s, err = v.admin.Show(ctx, v.id); err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

// reaches waits until Nexus, if there is one, has the VMM in this state.
func (v *vm) reaches(state vmm.WireState) {
	v.t.Helper()
	if v.nexus == nil {
		v.is(state)
		return
	}
	v.row(string(state), func(r nexussim.Row) bool { return r.State() == state })
}

// row waits until Nexus's row of the VMM is the wanted one.
func (v *vm) row(what string, wanted func(nexussim.Row) bool) nexussim.Row {
	v.t.Helper()
	err := v.nexus.Wait(bounded(v.t), v.id, wanted)
	row, _ := v.nexus.Row(v.id)
	if err != nil {
		v.t.Fatalf("Nexus does not know VMM %s as %s: %s", v.id, what, describe(row))
	}
	return row
}

// acknowledged reports whether Nexus has acknowledged the VMM's end.
func (v *vm) acknowledged() bool {
	row, _ := v.nexus.Row(v.id)
	for _, seen := range row.History {
		if seen.State.Terminal() && seen.AckedAt != nil {
			return true
		}
	}
	return false
}

// removedAtDeadline checks that the stop's deadline caused the zone's removal, and not before it was due. If
// agents are restarted, events may be lost; then the end of the server, which does not stop by itself, must
// not come before the deadline.
func (v *vm) removedAtDeadline(s stop) {
	v.t.Helper()
	var removed time.Time
	if v.setup.restarts {
		removed = v.serverEnded()
	} else {
		v.event("deadline")
		removed = v.event("removal").At
	}
	if early := s.sent.Add(s.grace).Sub(removed); early > 0 {
		v.t.Errorf("the removal began %v before the deadline", early)
	}
}

func (v *vm) endsDestroyed() { v.t.Helper(); v.ends(vmm.WireDestroyed) }
func (v *vm) endsFailed()    { v.t.Helper(); v.ends(vmm.WireFailed) }

// ends waits until Nexus has acknowledged the VMM's end in this state, and checks the promises about ends
// (T, N, L).
func (v *vm) ends(state vmm.WireState) {
	v.t.Helper()
	v.mayEnd()
	row := v.row("ended", ended)
	if row.State() != state {
		v.t.Errorf("VMM %s ended %s, want %s", v.id, row.State(), state)
	}
	last, ends := uint64(0), 0
	for _, seen := range row.History {
		if seen.Gen <= last {
			v.t.Errorf("generations do not rise: %s", describe(row))
		}
		last = seen.Gen
		if seen.State.Terminal() {
			ends++
		}
	}
	if ends != 1 {
		v.t.Errorf("there were %d terminal states: %s", ends, describe(row))
	}
	v.forgotten()
}

// ended reports whether Nexus has acknowledged the VMM's end.
func ended(row nexussim.Row) bool { return row.State().Terminal() && row.Acked >= row.Gen() }

// endsSilently waits until the agent has forgotten an unregistered VMM, and checks that no end was
// published.
func (v *vm) endsSilently() {
	v.t.Helper()
	v.forgotten()
	if row, _ := v.nexus.Row(v.id); row.State().Terminal() {
		v.t.Errorf("VMM %s was unregistered, and an end was published: %s", v.id, describe(row))
	}
}

// forgotten waits until the agent no longer knows the VMM, and checks that this is allowed (N, L).
func (v *vm) forgotten() {
	v.t.Helper()
	waitFor(v.t, func() string {
		if got := v.readState(); got.status != http.StatusNotFound || got.code() != "NO_SUCH_INSTANCE" {
			return fmt.Sprintf("VMM %s is over and its state is answered with %v", v.id, got)
		}
		return ""
	})
	v.gone()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
}

// gone waits until nothing is left of the VMM's zone (L).
func (v *vm) gone() {
	v.t.Helper()
	waitFor(v.t, func() string {
		if left := v.backend.of(v.id); len(left) > 0 {
			return fmt.Sprintf("there is %q", left)
		}
		return ""
	})
}
