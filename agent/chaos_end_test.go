package agent_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/zone"
)

// beginEnd begins to end a VMM. again repeats the request if that may be necessary.
func (w *world) beginEnd(v *vm, r *rand.Rand) (how string, again func() bool) {
	runs := v.boot != "" && !v.mayEnd()
	s := w.sim(v.guest)
	switch n := r.IntN(20); {
	case !runs || n < 8:
		return w.stopIt(v, r)
	case n == 8:
		v.asked("killed by the operator")
		again = func() bool {
			return w.ask(v, "kill", func(ctx context.Context, a *agent.Agent) error { _, err := a.Kill(ctx, v.id); return err })
		}
		again()
		return "operator's kill", again
	case n <= 10:
		return "unregister", w.unregisterIt(v)
	case n <= 12:
		if r.IntN(3) == 0 {
			w.fault(v.guest, "stay-stopping")
		}
		v.asked("the guest powers off")
		if !tryFor(3*time.Minute, func() bool { return s.Do("guest-poweroff") == nil }) {
			return w.stopIt(v, r)
		}
		return "guest powers off", nil
	case n == 13:
		v.asked("the guest migrates out")
		v.dies("the guest migrates out")
		if !tryFor(3*time.Minute, func() bool { return s.Do("migrate-out="+uuid.NewSHA1(v.id, []byte("out")).String()) == nil }) {
			return w.stopIt(v, r)
		}
		return "migrates out", nil
	}
	deaths := []struct {
		name string
		do   func()
	}{
		{"zone dies", func() { w.zones.Die(v.zone) }},
		{"zone is removed by another", func() { w.zones.Put(v.zone, zone.Absent) }},
		{"zone is booted again by another", func() {
			w.zones.Die(v.zone)
			_ = w.zones.Boot(w.t.Context(), v.zone) // the host may be halting it
		}},
		{"Propolis has failed", func() { w.zones.FailServer(v.zone, "exit status 1") }},
		{"VM fails", func() { _ = s.Do("fail") }},
		{"VM is lost", func() { _ = s.Do("lose-vm") }},
	}
	d := deaths[r.IntN(len(deaths))]
	v.dies(d.name)
	d.do()
	if r.IntN(4) == 0 {
		rest(rnd(r, 20*time.Second))
		_, again = w.stopIt(v, r)
		return d.name + ", and a stop", again
	}
	return d.name, nil
}

func tryFor(d time.Duration, do func() bool) bool {
	for begun := time.Now(); time.Since(begun) < d; rest(time.Second) {
		if do() {
			return true
		}
	}
	return false
}

// stopIt stops a VMM, sometimes a hanging one, and sometimes again with a shorter grace.
func (w *world) stopIt(v *vm, r *rand.Rand) (how string, again func() bool) {
	how = "stop"
	modes := []string{"ignore-stop", "hang-stop", "stay-stopping", "stay-stopped", "refuse-stop=500:Internal", "hang-all", "storm", "mute-stop"}
	if s := w.sim(v.guest); s != nil && r.IntN(2) == 0 {
		how = "stop: " + modes[r.IntN(len(modes))]
		w.fault(v.guest, how[len("stop: "):])
	}
	graces := []*time.Duration{nil, d(0), d(time.Second), d(30 * time.Second), d(5 * time.Minute), d(20 * time.Minute), d(2 * time.Hour)}
	v.asked(how)
	again = func() bool { return w.askStop(v, graces[r.IntN(len(graces))]) }
	again()
	if r.IntN(4) == 0 {
		rest(rnd(r, time.Minute))
		how += ", twice"
		again()
	}
	return how, again
}

func (w *world) askStop(v *vm, grace *time.Duration) bool {
	if !w.ask(v, "stop", func(ctx context.Context, a *agent.Agent) error {
		_, err := a.Stop(ctx, v.id, grace, 0)
		return err
	}) {
		return false
	}
	within := limits.StopGrace
	if grace != nil {
		within = min(*grace, limits.MaxStopGrace)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stopped = true
	if by := time.Now().Add(within); v.deadline.IsZero() || by.Before(v.deadline) {
		v.deadline = by
	}
	return true
}

func (w *world) unregisterIt(v *vm) (again func() bool) {
	v.asked("unregistered")
	v.dies("unregistered")
	again = func() bool {
		ok := w.ask(v, "unregister", func(ctx context.Context, a *agent.Agent) error { _, err := a.Unregister(ctx, v.id); return err })
		v.mu.Lock()
		v.disowned = v.disowned || ok
		v.mu.Unlock()
		return ok
	}
	again()
	return again
}

// excuseUnstarted permits the end of a VMM that is not running according to the disk.
func (v *vm) excuseUnstarted(d *disk) {
	if e, ok := d.entries[v.id]; ok && e.State.Phase <= vmm.Booting {
		v.excuse("the host is said to have rebooted")
	}
}

// check verifies every VMM that the agent must have.
func (w *world) check() {
	w.state.Lock()
	l := w.now
	w.state.Unlock()
	if l == nil {
		return
	}
	all := map[uuid.UUID]vmm.Status{}
	for _, s := range l.agent.List() {
		all[s.ID] = s
	}
	w.each(func(v *vm) {
		s, ok := all[v.id]
		if broken := w.checkOne(l, v, s, ok); broken != "" && !l.dead.Load() {
			w.errorf(v, "%s", broken)
		}
	})
}

func (w *world) checkOne(l *incarnation, v *vm, s vmm.Status, listed bool) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.registered || v.over {
		return ""
	}
	if !listed {
		return w.checkUnknown(l, v)
	}
	gen := v.gen
	v.gen = s.Record.VMM.Gen
	switch {
	case v.gen < gen && !v.wasOnce:
		return "its generation fell"
	case s.Record.VMM.State.Terminal() && len(v.why) == 0:
		return "it has ended without a reason"
	case s.Record.VMM.State == vmm.WireFailed && !v.failed && !v.disowned:
		return "it failed, and its end was asked for"
	}
	if at, was := s.Deadline, v.armed[s.DeadlineFor]; at != nil && s.DeadlineFor != "reboot" {
		if !was.IsZero() && at.After(was) {
			return "its deadline moved from " + was.String()
		}
		if s.DeadlineFor == "stop" || !v.started.IsZero() {
			v.armed[s.DeadlineFor] = *at
		}
	}
	return w.checkAlive(v)
}

// checkUnknown returns what is wrong with a VMM that the agent does not know.
func (w *world) checkUnknown(l *incarnation, v *vm) string {
	if _, err := l.agent.State(v.id); !vmm.Refused(err, vmm.Unknown) {
		return ""
	}
	row, _ := w.nexus.Row(v.id)
	heard := false
	for _, s := range row.History {
		heard = heard || s.State.Terminal() && s.AckedAt != nil
	}
	if heard || v.disowned || v.last.Sub(v.first) >= 5*time.Minute {
		return ""
	}
	if slices.Contains(v.why, "unregistered") {
		return ""
	}
	return "it is denied, and Nexus has not acknowledged its end"
}

// checkAlive verifies on the host that a VM without a reason to end is running.
func (w *world) checkAlive(v *vm) string {
	if v.boot == "" || len(v.why) > 0 {
		return ""
	}
	info, err := w.zones.Look(w.t.Context(), v.zone)
	if err != nil || info.State != zone.Running || info.Incarnation != v.boot {
		return "its zone is " + info.State.String() + " " + info.Incarnation
	}
	is := w.sim(v.guest).Status().VM
	if is == nil {
		return "its VM is gone"
	}
	switch is.State {
	case server.Running, server.Rebooting, server.Migrating:
		return ""
	}
	return "its VM is " + string(is.State)
}
