package agent_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/zone"
)

// ports are a host's ports that can fail.
type ports struct {
	mu      sync.Mutex
	fault   string
	unhang  chan struct{}
	during  func()
	applied []zone.Port
	tries   int
	// underWay is the number of calls at a time, most its maximum.
	underWay, most int
	released       int
}

func newPorts() *ports { return &ports{unhang: make(chan struct{})} }

const (
	portFails = "fails"
	portHangs = "hangs"
	portDeaf  = "hangs and ignores its context"
)

var portFaults = []string{portFails, portHangs, portDeaf}

var errPort = errors.New("ioctl failed")

func (p *ports) set(fault string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

func (p *ports) call(ctx context.Context, do func()) error {
	p.mu.Lock()
	p.underWay++
	p.tries++
	p.most = max(p.most, p.underWay)
	fault, during := p.fault, p.during
	p.mu.Unlock()
	if during != nil {
		during()
	}
	err := error(nil)
	switch fault {
	case portFails:
		err = errPort
	case portHangs:
		<-ctx.Done()
		err = ctx.Err()
	case portDeaf:
		<-p.unhang
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.underWay--
	if err == nil {
		do()
	}
	return err
}

func (p *ports) Apply(ctx context.Context, port zone.Port) error {
	return p.call(ctx, func() { p.applied = append(p.applied, port) })
}

func (p *ports) Release(ctx context.Context, _ zone.Port) error {
	return p.call(ctx, func() { p.released++ })
}

// take returns the ports that were set up since the last call.
func (p *ports) take() []zone.Port {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.applied
	p.applied = nil
	return taken
}

var (
	sameNet  = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
	floating = netip.MustParseAddr("203.0.113.80")
	block    = vmm.Subnet{Net: netip.MustParsePrefix("192.0.2.32/28"), Kind: "external"}
)

// withPorts runs a test with a VMM that is registered with a floating address.
func withPorts(t *testing.T, j agent.Journal, test func(r *rig, p *ports, v guest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, p := newHost(t), newPorts()
		r.adjust = func(c *agent.Config) { c.Ports = p }
		r.begin(j, nil)
		body := wire.BodyOptions{NICs: 2, PropolisAddr: netip.MustParseAddrPort("[::1]:12400")}
		reg := wiretest.Registration(body)
		reg.Network.External.Floating = []netip.Addr{floating}
		v := guest{id: uuid.New(), addr: body.PropolisAddr}
		v.zone = prefix + v.id.String()
		if _, err := r.Register(t.Context(), v.id, reg); err != nil {
			t.Fatal(err)
		}
		test(r, p, v)
		p.set("")
		close(p.unhang)
		r.close()
		if p.most > 1 {
			t.Errorf("%d calls for one VMM at a time", p.most)
		}
	})
}

func (r *rig) network(v guest) vmm.NetworkStatus {
	r.t.Helper()
	s, err := r.Show(v.id)
	if err != nil || s.Network == nil {
		r.t.Fatalf("it shows %+v, %v", s.Network, err)
	}
	return *s.Network
}

// endsSoon stops a VMM at once. The first try to release its port may find another call under
// way; it is repeated after about a second.
func (r *rig) endsSoon(v guest, within time.Duration) {
	r.t.Helper()
	began := time.Now()
	r.stop(v, d(0))
	r.await(v, vmm.WireDestroyed)
	r.took(began, 0, within)
	pass(time.Second)
	r.forgotten(v)
}

// The port is set up before Propolis has the VM, at each change, after a reboot of the
// guest and a restart of the agent, and is released after the zone.
func TestPortIsSetUp(t *testing.T) {
	t.Parallel()
	j := newMemory()
	withPorts(t, j, func(r *rig, p *ports, v guest) {
		p.during = func() {
			if s := r.sim(v); s == nil || s.Status().VM != nil {
				t.Error("Propolis was given the VM before the port was set up")
			}
		}
		if err := r.SetNetwork(r.t.Context(), v.id, vmm.AttachSubnet{Subnet: block}); err != nil || len(p.take()) > 0 {
			t.Errorf("a change before the start: %v", err)
		}
		r.run(v)
		r.await(v, vmm.WireRunning)
		p.during = nil
		want := zone.Port{Zone: v.zone, Link: "vnic0", Floating: []netip.Addr{floating}, Subnets: []zone.AttachedSubnet{{Net: block.Net, External: true}}}
		is := func(when string) {
			t.Helper()
			pass(time.Second)
			if d := cmp.Diff([]zone.Port{want}, p.take(), sameNet); d != "" {
				t.Errorf("%s: %s", when, d)
			}
		}
		is("at the start")
		if _, err := r.Reboot(r.t.Context(), v.id, 0); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		is("after a reboot")
		r.end()
		e, _ := j.entry(v.id)
		r.begin(j, []ledger.Loaded{{ID: v.id, Entry: e}})
		is("after a restart")
		if err := r.SetNetwork(r.t.Context(), v.id, vmm.SetSubnets{}); err != nil {
			t.Fatal(err)
		}
		want.Subnets, want.Detached = nil, []netip.Prefix{block.Net}
		is("after a change")
		if e, _ := j.entry(v.id); len(e.State.Ports.Detached)+len(e.State.Ports.Network.Subnets) > 0 {
			t.Errorf("kept after it was applied: %+v", e.State.Ports)
		}
		r.endsSoon(v, 5*time.Second)
		if p.released == 0 {
			t.Error("the port was not released")
		}
	})
}

// Ports that cannot be set up delay a start and the answer to a change by a bounded time,
// end no VMM and hold up no stop. They are shown, and set up when that is possible again.
func TestPortsThatCannotBeSetUp(t *testing.T) {
	t.Parallel()
	for _, fault := range portFaults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			withPorts(t, nil, func(r *rig, p *ports, v guest) {
				p.set(fault)
				began := time.Now()
				r.run(v)
				r.await(v, vmm.WireRunning)
				r.took(began, 0, 8*time.Second)
				began = time.Now()
				if err := r.SetNetwork(r.t.Context(), v.id, vmm.AttachSubnet{Subnet: block}); err != nil {
					t.Error(err)
				}
				r.took(began, 0, 6*time.Second)
				pass(24 * time.Hour)
				n := r.network(v)
				if n.Trouble == nil || n.Trouble.LastError == "" || n.Trouble.Attempts < 1000 || time.Since(n.Trouble.Since) < 24*time.Hour ||
					r.PortsFailed() < 1000 || len(n.Subnets) != 1 {
					t.Errorf("it shows %+v, %+v; %d are counted", n, n.Trouble, r.PortsFailed())
				}
				if record, err := r.State(v.id); err != nil || record.VMM.State != vmm.WireRunning {
					t.Errorf("it is %s, %v", record.VMM.State, err)
				}
				r.endsSoon(v, 20*time.Second)
			})
		})
	}
}

// A call that returns long after its budget is not overtaken by a newer one.
func TestNewestNetworkWins(t *testing.T) {
	t.Parallel()
	withPorts(t, nil, func(r *rig, p *ports, v guest) {
		r.run(v)
		r.await(v, vmm.WireRunning)
		p.take()
		p.set(portDeaf)
		for _, change := range []vmm.NetworkChange{vmm.AttachSubnet{Subnet: block}, vmm.DetachSubnet{Net: block.Net}, vmm.RemoveExternalIP{IP: floating}} {
			if err := r.SetNetwork(r.t.Context(), v.id, change); err != nil {
				t.Fatal(err)
			}
		}
		p.set("")
		p.unhang <- struct{}{}
		pass(2 * time.Minute)
		all := p.take()
		want := zone.Port{Zone: v.zone, Link: "vnic0", Detached: []netip.Prefix{block.Net}}
		if d := cmp.Diff(want, all[len(all)-1], sameNet); d != "" || len(all) != 2 {
			t.Errorf("%d were applied, the last one %s", len(all), d)
		}
		if s, err := r.Show(v.id); err != nil || s.Network != nil {
			t.Errorf("it shows %+v, %v", s.Network, err)
		}
		r.endsSoon(v, 5*time.Second)
	})
}

// A change that cannot be saved is refused and not made, nor are those that follow it. A
// stop is accepted all the same.
func TestChangeNeedsTheLedger(t *testing.T) {
	t.Parallel()
	j := newDisk()
	withPorts(t, j, func(r *rig, p *ports, v guest) {
		r.run(v)
		r.await(v, vmm.WireRunning)
		p.take()
		j.turn(diskFails)
		var calls sync.WaitGroup
		for range 3 {
			for _, change := range []vmm.NetworkChange{vmm.AttachSubnet{Subnet: block}, vmm.RemoveExternalIP{IP: floating}} {
				calls.Go(func() {
					if err := r.SetNetwork(context.Background(), v.id, change); !vmm.Refused(err, vmm.Unwritable) {
						t.Errorf("%T: %v", change, err)
					}
				})
			}
		}
		calls.Wait()
		pass(time.Minute)
		j.turn(diskWorks)
		pass(time.Minute)
		n := r.network(v)
		if !slices.Equal(n.Floating, []netip.Addr{floating}) || len(n.Subnets) != 0 {
			t.Errorf("it has %+v", n)
		}
		for _, port := range p.take() {
			if len(port.Subnets) > 0 || len(port.Floating) != 1 {
				t.Errorf("%+v was applied", port)
			}
		}
		if err := r.SetNetwork(r.t.Context(), v.id, vmm.AttachSubnet{Subnet: block}); err != nil {
			t.Error(err)
		}
		r.endsSoon(v, 5*time.Second)
	})
}

// A port that is busy is released later. One that stays busy does not hold up the end.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	for _, busy := range []time.Duration{2 * time.Second, time.Hour} {
		withPorts(t, nil, func(r *rig, p *ports, v guest) {
			r.run(v)
			r.await(v, vmm.WireRunning)
			p.set(portFails)
			time.AfterFunc(busy, func() { p.set("") })
			r.endsSoon(v, 20*time.Second)
			if (p.released > 0) != (busy < time.Minute) {
				t.Errorf("busy for %s: released %d times", busy, p.released)
			}
		})
	}
}

func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	withPorts(t, nil, func(r *rig, _ *ports, v guest) {
		change := func(id uuid.UUID) error { return r.SetNetwork(r.t.Context(), id, vmm.AttachSubnet{Subnet: block}) }
		if err := change(uuid.New()); !vmm.Refused(err, vmm.Unknown) {
			t.Errorf("of an unknown VMM: %v", err)
		}
		r.misbehave("ignore-stop")
		plain := r.register() // without a NIC
		if err := change(plain.id); !vmm.Refused(err, vmm.Invalid) {
			t.Errorf("without a NIC: %v", err)
		}
		r.run(v)
		r.await(v, vmm.WireRunning)
		if err := change(v.id); err != nil {
			t.Error(err)
		}
		if err := change(v.id); !vmm.Refused(err, vmm.Attached) {
			t.Errorf("again: %v", err)
		}
		r.stop(v, d(time.Hour))
		if err := change(v.id); !vmm.Refused(err, vmm.Terminating) {
			t.Errorf("of one that is stopping: %v", err)
		}
	})
}
