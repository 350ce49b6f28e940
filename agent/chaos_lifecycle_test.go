package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/zone"
)

// endBudget is how long an end may take in addition to its grace period, if faults occur
// and Nexus is unavailable half of the time.
const endBudget = time.Hour

func (w *world) spec() json.RawMessage {
	return wiretest.Registration(wire.BodyOptions{}).Spec
}

func (w *world) newVM(slot, n int, r *rand.Rand) *vm {
	v := &vm{key: fmt.Sprintf("%d/%d", slot, n), armed: map[string]time.Time{}}
	v.id = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d %s", w.seed, v.key))
	v.zone = prefix + v.id.String()
	v.addr = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(1024+slot*1000+n%1000))
	if slot < squatters && r.IntN(6) == 0 {
		v.addr = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(20000+slot))
		v.excuse("another's server is at its address")
	}
	o := wire.BodyOptions{InstanceID: uuid.NewSHA1(v.id, nil), PropolisAddr: v.addr, NICs: r.IntN(3)}
	if v.src = r.IntN(8) == 0; v.src {
		m := uuid.NewSHA1(v.id, []byte("migration"))
		o.MigrationID = &m
	}
	v.reg = wiretest.Registration(o)
	w.state.Lock()
	defer w.state.Unlock()
	w.vms[v.zone] = v
	return v
}

// ask sends a request to the current agent until it is accepted. It reports false if the
// VMM has ended with a reason.
func (w *world) ask(v *vm, what string, do func(context.Context, *agent.Agent) error) bool {
	var err error
	for begun := time.Now(); time.Since(begun) < 30*time.Minute; rest(2 * time.Second) {
		w.state.Lock()
		l := w.now
		w.state.Unlock()
		if l == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 40*time.Second)
		err = do(ctx, l.agent)
		cancel()
		switch {
		case l.dead.Load():
		case err == nil:
			return true
		case vmm.Refused(err, vmm.Unknown), vmm.Refused(err, vmm.Terminating):
			if !v.mayEnd() {
				w.errorf(v, "%s: %v", what, err)
			}
			return false
		}
	}
	w.errorf(v, "%s was not accepted for half an hour: %v", what, err)
	return false
}

// slot runs one VMM after another.
func (w *world) slot(i int, r *rand.Rand) {
	for n := 0; !w.closing.Load(); n++ {
		v := w.newVM(i, n, r)
		w.sum.vmms.Add(1)
		begun := time.Now()
		w.lifeOf(v, r)
		w.sum.lived.Add(int64(time.Since(begun)))
		rest(rnd(r, 30*time.Second))
	}
}

func (w *world) lifeOf(v *vm, r *rand.Rand) {
	if !w.ask(v, "register", func(ctx context.Context, a *agent.Agent) error {
		_, err := a.Register(ctx, v.id, v.reg)
		return err
	}) {
		w.over(v, r)
		return
	}
	v.mu.Lock()
	v.registered = true
	v.mu.Unlock()
	rest(rnd(r, 20*time.Second))
	if r.IntN(16) == 0 || !w.ask(v, "run", func(ctx context.Context, a *agent.Agent) error { return w.run(ctx, a, v) }) {
		w.end(v, r)
		return
	}
	v.mu.Lock()
	v.started = time.Now()
	clear(v.armed)
	v.mu.Unlock()
	if r.IntN(8) == 0 { // end it while it starts
		rest(rnd(r, time.Minute))
		w.end(v, r)
		return
	}
	if r.IntN(8) == 0 { // kill the agent while it starts
		rest(rnd(r, 45*time.Second))
		w.restart(r)
	}
	if w.comesUp(v) {
		for left := rnd(r, 40*time.Minute); left > 0 && !v.mayEnd() && !w.closing.Load(); {
			step := rnd(r, 4*time.Minute)
			left -= step
			rest(step)
			w.happens(v, r)
		}
	}
	w.end(v, r)
}

func (w *world) run(ctx context.Context, a *agent.Agent, v *vm) error {
	if v.src {
		return a.MigrateIn(ctx, v.id, netip.MustParseAddrPort("[fd00::1]:12400"))
	}
	return a.Run(ctx, v.id)
}

// comesUp waits until the VMM runs; an accepted start is not lost.
func (w *world) comesUp(v *vm) bool {
	for begun := time.Now(); ; rest(time.Second) {
		s := w.sim(v.guest)
		if s != nil && s.Status().VM != nil && s.Status().VM.State == server.Running {
			info, err := w.zones.Look(w.t.Context(), v.zone)
			v.mu.Lock()
			if v.boot = info.Incarnation; err != nil {
				v.boot = ""
			}
			v.mu.Unlock()
			return true
		}
		if v.mayEnd() {
			return false
		}
		if time.Since(begun) > 17*time.Minute {
			w.errorf(v, "its start was accepted and it does not run")
			v.excuse("it did not start")
			return false
		}
	}
}

// happens triggers something in a VMM that does not end it.
func (w *world) happens(v *vm, r *rand.Rand) {
	modes := []string{"hang-all", "storm", "hang-monitor", "garbage-all", "half-monitor", "reset-all", "slow-all=20s", "trickle-get=1s",
		"refuse-run=500:Internal", "babble-get", "mute-reboot"}
	switch s := w.sim(v.guest); r.IntN(6) {
	case 0:
		_ = s.Do("guest-reboot") // may fail at the moment
	case 1:
		w.state.Lock()
		l := w.now
		w.state.Unlock()
		if l != nil {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
			defer cancel()
			_, _ = l.agent.Reboot(ctx, v.id, 0) // may be refused
		}
	case 2, 3:
		mode := modes[r.IntN(len(modes))]
		w.sum.fault("server: " + mode)
		w.fault(v.guest, mode)
		rest(rnd(r, 3*time.Minute))
		w.fault(v.guest, "slow-all=0s")
	}
}

// end ends the VMM in some way, and waits for it.
func (w *world) end(v *vm, r *rand.Rand) {
	how, again := w.beginEnd(v, r)
	w.sum.end(how)
	for begun := time.Now(); ; rest(2 * time.Second) {
		if v.found() && again != nil && !again() {
			again = nil
		}
		if w.ended(v) {
			break
		}
		v.mu.Lock()
		by := v.deadline
		v.mu.Unlock()
		if by.Before(begun) {
			by = begun
		}
		if time.Since(by) > endBudget {
			w.errorf(v, "%s: it has not ended after %s", how, time.Since(begun))
			break
		}
	}
	w.over(v, r)
}

// ended reports whether the current agent does not have the VMM any more.
func (w *world) ended(v *vm) bool {
	w.state.Lock()
	l := w.now
	w.state.Unlock()
	if l == nil {
		return false
	}
	_, err := l.agent.State(v.id)
	return vmm.Refused(err, vmm.Unknown) && !l.dead.Load()
}

// over verifies the result of the VMM.
func (w *world) over(v *vm, r *rand.Rand) {
	row, _ := w.nexus.Row(v.id)
	info, _ := w.zones.Look(w.t.Context(), v.zone)
	// A start in progress when the agent was killed may have left a zone, which the next
	// agent treats as an orphan.
	for begun := time.Now(); (info.State == zone.Installed || info.State == zone.Incomplete || info.State == zone.Configured) && time.Since(begun) < 10*time.Minute; rest(time.Second) {
		info, _ = w.zones.Look(w.t.Context(), v.zone)
	}
	v.mu.Lock()
	v.over = true
	unheard := v.disowned || v.last.Sub(v.first) >= 5*time.Minute || !v.registered
	right := row.State() == vmm.WireDestroyed && v.destroyed || row.State() == vmm.WireFailed && v.failed
	by, begun, why := w.latest(v.deadline), v.removal, v.why
	v.mu.Unlock()
	switch {
	case info.State != zone.Absent:
		w.errorf(v, "it is forgotten, and its zone is %s", info.State)
	case !unheard && !right:
		w.errorf(v, "Nexus has %s, and it ended thus: %v", row.State(), why)
	case !by.IsZero() && begun.After(by.Add(time.Second)):
		w.errorf(v, "its removal began %s after its deadline", begun.Sub(by))
	}
	if v.registered && r.IntN(3) == 0 {
		w.state.Lock()
		l := w.now
		w.state.Unlock()
		if l == nil {
			return
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		defer cancel()
		if _, err := l.agent.Register(ctx, v.id, v.reg); err == nil && !l.dead.Load() {
			w.errorf(v, "it is registered again")
		}
	}
}

// latest returns the latest time for a deadline: if no agent runs, it is when one runs
// again. v.mu is held.
func (w *world) latest(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	w.state.Lock()
	defer w.state.Unlock()
	for _, o := range w.outages {
		if o.from.Before(at.Add(time.Second)) && o.to.After(at) {
			at = o.to
		}
	}
	return at
}
