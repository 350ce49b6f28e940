package agent_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
	"github.com/sledagent/sledagent/zone"
)

const (
	// slots is the number of concurrent VMMs, worldHours the duration of a world.
	slots      = 16
	worldHours = 2
	squatters  = 2
)

// TestChaos runs many VMMs for hours while any call of the host, of Propolis, of Nexus and
// of the disk may fail, hang, or be truncated, the agent is killed and the host reboots.
// No VMM ends without a reason, no running one is reported as unknown, no deadline moves,
// every stop ends.
//
// CHAOS_HOURS is the duration in hours of a bubble's time. CHAOS_SEED repeats the faults of
// every call, but not the scheduling.
func TestChaos(t *testing.T) {
	t.Parallel()
	hours := envInt(t, "CHAOS_HOURS", 1)
	seed := uint64(envInt(t, "CHAOS_SEED", int(rand.Int64N(1_000_000))))
	sum := &tally{faults: map[string]int{}, ends: map[string]int{}}
	for n := uint64(0); hours > 0; n++ {
		lasts := time.Duration(min(hours, worldHours)) * time.Hour
		hours -= worldHours
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("CHAOS_SEED=%d", seed+n)
				}
			}()
			newWorld(t, seed+n, sum).live(lasts)
		})
	}
	t.Log(sum)
}

func envInt(t *testing.T, name string, otherwise int) int {
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A world is a rig with faults in every part.
type world struct {
	*rig
	*dice
	sum      *tally
	sky      atomic.Pointer[weather]
	refusing atomic.Bool // connections are refused
	closing  atomic.Bool
	disk     disk
	begun    time.Time
	restarts sync.Mutex

	state sync.Mutex
	vms   map[string]*vm // by zone
	now   *incarnation   // nil while no agent runs
	// outages are the times without an agent.
	outages []outage
	squats  map[netip.AddrPort]*sim.Server
	errors  int
}

type outage struct{ from, to time.Time }

func newWorld(t *testing.T, seed uint64, sum *tally) *world {
	w := &world{rig: newHost(t), dice: &dice{seed: seed, n: map[string]uint64{}}, sum: sum, begun: time.Now(),
		disk: disk{entries: map[uuid.UUID]ledger.Entry{}}, vms: map[string]*vm{}, squats: map[netip.AddrPort]*sim.Server{}}
	w.sky.Store(&fair)
	w.rig.serve = w.server
	for i := range squatters {
		w.squat(netip.AddrPortFrom(netip.IPv6Loopback(), uint16(20000+i)))
	}
	w.start(false)
	return w
}

// server returns the options of a zone's Propolis at an address.
func (w *world) server(addr netip.AddrPort) (sim.Options, bool) {
	if w.squats[addr] != nil {
		return sim.Options{}, false
	}
	r := w.throw("server " + addr.String())
	return sim.Options{Times: sim.Times{Create: rnd(r, 40*time.Second), Boot: rnd(r, 20*time.Second),
		Stop: rnd(r, 20*time.Second), Phase: rnd(r, 4*time.Second)}}, true
}

// squat serves a VM of another owner at an address.
func (w *world) squat(addr netip.AddrPort) {
	s := sim.New(sim.Options{})
	w.squats[addr] = s
	w.net.serve(addr.String(), s.Handler())
	c := propolis.NewClient(addr, propolis.Options{Dial: w.net.dial})
	req := propolis.EnsureRequest{Properties: propolis.Properties{ID: uuid.New(), Name: "other"}, Spec: w.spec()}
	if err := c.Ensure(w.t.Context(), req); err != nil {
		w.t.Fatal(err)
	}
	if err := c.Put(w.t.Context(), propolis.Run, 0); err != nil {
		w.t.Fatal(err)
	}
}

// start starts an agent with the contents of the disk.
func (w *world) start(rebooted bool) {
	l := &incarnation{w: w, killed: make(chan struct{}), disk: newChaosJournal(w.dice, &w.disk)}
	w.adjust = func(c *agent.Config) {
		c.Zones = chaosZones{l}
		c.Propolis = l.propolis
		c.Nexus = chaosNexus{w.pub, l}
	}
	w.begin(l.disk, l.disk.loaded(rebooted))
	l.agent = w.Agent
	w.state.Lock()
	defer w.state.Unlock()
	w.now = l
}

// kill ends the agent like kill -9: what is not on disk is lost.
func (w *world) kill() {
	w.sum.kills.Add(1)
	w.state.Lock()
	l := w.now
	w.now = nil
	w.outages = append(w.outages, outage{from: time.Now()})
	w.state.Unlock()
	l.dead.Store(true)
	for _, id := range l.disk.freeze() {
		w.sum.lost.Add(1)
		w.vm(prefix + id.String()).wasLost()
	}
	close(l.killed)
	a, pub := w.Agent, w.pub
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	go func() {
		defer cancel()
		if err := a.Close(ctx); err != nil {
			w.t.Errorf("killed agent: %v", err)
		}
		_ = pub.Close(ctx)
	}()
}

// restart kills the agent and starts the next one after a while. The host may have
// rebooted, which may be unknown.
func (w *world) restart(r *rand.Rand) {
	if !w.restarts.TryLock() {
		return
	}
	defer w.restarts.Unlock()
	w.kill()
	rebooted := r.IntN(8) == 0
	if rebooted {
		w.reboot()
	}
	rest(rnd(r, 20*time.Second))
	w.state.Lock()
	w.outages[len(w.outages)-1].to = time.Now()
	w.state.Unlock()
	// The boot id may be unreadable, and may change without a boot.
	known := r.IntN(4) > 0
	if !rebooted && r.IntN(8) == 0 {
		known = true
		w.each(func(v *vm) { v.excuseUnstarted(&w.disk) })
	} else if !rebooted {
		known = false
	}
	w.start(known)
}

// reboot ends every zone.
func (w *world) reboot() {
	w.sum.reboots.Add(1)
	w.each(func(v *vm) {
		v.dies("the host has rebooted")
		w.zones.Die(v.zone)
	})
}

func (w *world) each(do func(*vm)) {
	w.state.Lock()
	all := make([]*vm, 0, len(w.vms))
	for _, v := range w.vms {
		all = append(all, v)
	}
	w.state.Unlock()
	for _, v := range all {
		do(v)
	}
}

// live lets time pass.
func (w *world) live(lasts time.Duration) {
	var all, events sync.WaitGroup
	end := make(chan struct{})
	for i := range slots {
		all.Go(func() { w.slot(i, rand.New(rand.NewPCG(w.seed, uint64(i)))) })
	}
	for i, every := range []struct {
		pause time.Duration
		do    func(*rand.Rand, <-chan struct{})
	}{{0, w.changeSky}, {8 * time.Minute, func(r *rand.Rand, _ <-chan struct{}) { w.restart(r) }}, {5 * time.Minute, w.troubleNexus},
		{6 * time.Minute, w.troubleDisk}, {6 * time.Minute, w.refuse}, {time.Second, func(*rand.Rand, <-chan struct{}) { w.check() }}} {
		r := rand.New(rand.NewPCG(w.seed, uint64(1000+i)))
		events.Go(func() {
			for pauseFor(every.pause/2+rnd(r, every.pause), end) {
				every.do(r, end)
			}
		})
	}
	rest(lasts)
	w.closing.Store(true)
	all.Wait()
	close(end)
	events.Wait()
	w.finish()
}

func pauseFor(d time.Duration, end <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-end:
		return false
	}
}

// finish verifies that nothing is left.
func (w *world) finish() {
	rest(10 * time.Minute)
	for _, s := range w.Agent.List() {
		if v := w.vm(s.Zone); v.everLost() {
			w.sum.fault("disk: it had ended, and the disk did not know")
			_, _ = w.Agent.Unregister(w.t.Context(), v.id) // checked below
		}
	}
	rest(10 * time.Minute)
	synctest.Wait()
	if zones, err := w.zones.List(w.t.Context()); err != nil || len(zones) > 0 {
		w.t.Errorf("zones are left: %v, %v", zones, err)
	}
	for _, s := range w.Agent.List() {
		v := w.vm(s.Zone)
		w.errorf(v, "it is left; its end: %v", v.why)
	}
	for addr, s := range w.squats {
		if v := s.Status().VM; v == nil || v.State != server.Running {
			w.t.Errorf("the foreign VM at %s is %+v", addr, v)
		}
		s.Close()
	}
	for _, b := range w.nexus.Violations() {
		v := w.vm(prefix + b.VMM.String())
		ends := b.Rule == nexussim.SecondTerminal || b.Rule == nexussim.AfterTerminal
		if !ends || !v.everLost() { // the next agent does not know of an end that was not written
			w.t.Errorf("contradictory records of %s: %+v", v.key, b)
		}
	}
	close(w.now.killed) // hanging calls end with the process
	w.rig.closeHost()
}

// errorf reports a broken promise, with the state of the VMM.
func (w *world) errorf(v *vm, format string, args ...any) {
	w.state.Lock()
	w.errors++
	n, l := w.errors, w.now
	w.state.Unlock()
	if n > 10 {
		return
	}
	how := "no agent runs"
	if l != nil {
		s, err := l.agent.Show(v.id)
		how = fmt.Sprintf("phase %s, %s, reason %q, deadline %v, removal %+v, unsure %+v, %v", s.Phase, s.Record.VMM.State, s.Reason, s.Deadline,
			s.Removal, s.Unsure, err)
		for _, e := range s.Events {
			how += fmt.Sprintf("\n    %s %s %s %s", e.At.Sub(w.begun), e.Kind, e.Text, e.Error)
		}
	}
	w.t.Errorf("%s (seed %d): VMM %s: %s\n  %s", time.Since(w.begun), w.seed, v.key, fmt.Sprintf(format, args...), how)
}

// vm returns the VMM of a zone, or nil.
func (w *world) vm(name string) *vm {
	w.state.Lock()
	defer w.state.Unlock()
	return w.vms[name]
}

// who returns a name for a zone's VMM that is the same in each run.
func (w *world) who(name string) string {
	if v := w.vm(name); v != nil {
		return v.key
	}
	return ""
}

// removes records a step of a removal, which requires a reason to end once there is a VM.
func (w *world) removes(op, name string) {
	v := w.vm(name)
	if v == nil {
		return
	}
	s := w.sim(v.guest)
	info, err := w.zones.Look(context.Background(), name)
	alive := err == nil && info.State == zone.Running && s != nil && s.Status().VM != nil
	if v.removed(alive) {
		w.errorf(v, "%s of the zone of a VM without a reason to end", op)
	}
}
