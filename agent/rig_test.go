package agent_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/internal/conns/connstest"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/propolis/sim"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const (
	prefix = "oxz_propolis-server_"
	grace  = 10 * time.Minute
)

var limits = vmm.Limits{StopGrace: grace, MaxStopGrace: time.Hour, StartTimeout: 15 * time.Minute,
	RebootTimeout: 10 * time.Minute, RetryInitial: 250 * time.Millisecond, RetryMax: 30 * time.Second,
	GiveUpAfter: 24 * time.Hour}

// rig is a whole agent in a bubble: zones in memory, a simulated Propolis in each, a
// simulated Nexus, and HTTP over pipes. Its time is the bubble's, so that deadlines can be
// verified to the nanosecond.
type rig struct {
	*agent.Agent
	t      *testing.T
	prefix string
	zones  *zonetest.Host
	nexus  *nexussim.Server

	// adjust changes an agent's Config, serve the options of a Propolis that boots at an
	// address; if serve reports false, another server is there. Either may be nil.
	adjust func(*agent.Config)
	serve  func(netip.AddrPort) (sim.Options, bool)

	mu     sync.Mutex
	sims   map[netip.AddrPort]*sim.Server
	faults sim.Faults
	net    *pipes
	next   uint16
	pub    *publish.Client
}

// bubble runs a test with a rig. At its end it verifies that nothing is left and that Nexus
// received no contradictory records.
func bubble(t *testing.T, test func(t *testing.T, r *rig)) { bubbleWith(t, nil, test) }

func bubbleWith(t *testing.T, journal agent.Journal, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, journal)
		test(t, r)
		r.close()
	})
}

var testSled = uuid.New()

func theSled() propolis.Metadata {
	return propolis.Metadata{SledID: testSled, SledSerial: "BRM1", SledModel: "test"}
}

func newRig(t *testing.T, journal agent.Journal) *rig { return newRigOn(t, journal, func(*rig) {}) }

// newRigOn returns a rig on a prepared host.
func newRigOn(t *testing.T, journal agent.Journal, prepare func(*rig)) *rig {
	r := newHost(t)
	prepare(r)
	r.begin(journal, nil)
	return r
}

// newHost returns a rig without an agent.
func newHost(t *testing.T) *rig {
	r := &rig{t: t, prefix: prefix, sims: map[netip.AddrPort]*sim.Server{}, net: newPipes(), next: 12400,
		nexus: nexussim.New(nexussim.Options{})}
	r.zones = zonetest.New(zonetest.Hooks{Booted: r.booted})
	r.net.serve("nexus:80", r.nexus.Handler())
	return r
}

// begin starts an agent with these VMMs.
func (r *rig) begin(journal agent.Journal, all []ledger.Loaded) {
	r.pub = publish.New(publish.Config{Addresses: []string{"http://nexus"}, Dial: r.net.dial, Log: zerolog.Nop()})
	cfg := agent.Config{
		Zones: r.zones, Nexus: r.pub, Journal: journal, Limits: limits, Prefix: r.prefix, Evidence: 5 * time.Second,
		Sled: theSled, Log: zerolog.Nop(),
		Propolis: func(addr netip.AddrPort) runner.Propolis {
			return propolis.NewClient(addr, propolis.Options{Dial: r.net.dial})
		},
	}
	if r.adjust != nil {
		r.adjust(&cfg)
	}
	r.Agent = agent.New(cfg)
	r.Adopt(all)
}

// end ends the agent; its zones continue.
func (r *rig) end() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(r.Agent.Close(ctx), r.pub.Close(ctx)); err != nil {
		r.t.Error(err)
	}
}

// booted serves a simulated Propolis in a zone.
func (r *rig) booted(_ string, addr netip.AddrPort) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := sim.Options{Faults: r.faults}
	if r.serve != nil {
		var free bool
		if o, free = r.serve(addr); !free {
			return func() {}
		}
	}
	s := sim.New(o)
	r.sims[addr] = s
	stop := r.net.serve(addr.String(), s.Handler())
	return func() {
		s.Close()
		stop()
	}
}

func (r *rig) close() {
	r.t.Helper()
	for _, v := range r.nexus.Violations() {
		r.t.Errorf("Nexus received contradictory records: %+v", v)
	}
	r.closeHost()
}

// closeHost ends all servers.
func (r *rig) closeHost() {
	r.t.Helper()
	r.zones.Unhang()
	r.nexus.Close()
	r.end()
	r.mu.Lock()
	for _, s := range r.sims {
		s.Close()
	}
	r.mu.Unlock()
	r.net.close()
}

// misbehave sets the faults of every Propolis that boots from now on.
func (r *rig) misbehave(modes ...string) {
	r.t.Helper()
	faults, err := sim.ParseFaults(modes...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = faults
}

// sim returns the Propolis of a VMM.
func (r *rig) sim(v guest) *sim.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sims[v.addr]
}

// guest is a VMM registered by a test.
type guest struct {
	id   uuid.UUID
	addr netip.AddrPort
	zone string
}

func (r *rig) register() guest { return r.registerWith(wire.BodyOptions{}) }

func (r *rig) registerWith(o wire.BodyOptions) guest {
	r.t.Helper()
	r.next++
	v := guest{id: uuid.New(), addr: netip.AddrPortFrom(netip.IPv6Loopback(), r.next)}
	v.zone = prefix + v.id.String()
	if !o.PropolisAddr.IsValid() {
		o.PropolisAddr = v.addr
	}
	v.addr = o.PropolisAddr
	reg := wiretest.Registration(o)
	if _, err := r.Register(r.t.Context(), v.id, reg); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// start registers and runs a VMM, and waits until Nexus has that state.
func (r *rig) start() guest {
	r.t.Helper()
	v := r.register()
	r.run(v)
	r.await(v, vmm.WireRunning)
	return v
}

func (r *rig) run(v guest) {
	r.t.Helper()
	if err := r.Run(r.t.Context(), v.id); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop(v guest, grace *time.Duration) {
	r.t.Helper()
	record, err := r.Stop(r.t.Context(), v.id, grace, 0)
	if err != nil || record.VMM.State != vmm.WireStopping {
		r.t.Fatalf("stop: %+v, %v", record.VMM, err)
	}
}

// await waits until Nexus has acknowledged a state of the VMM.
func (r *rig) await(v guest, want vmm.WireState) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 48*time.Hour)
	defer cancel()
	err := r.nexus.Wait(ctx, v.id, func(row nexussim.Row) bool { return row.State() == want })
	if err != nil {
		row, _ := r.nexus.Row(v.id)
		r.t.Fatalf("Nexus did not receive %s, only %s: %v", want, row.State(), err)
	}
	synctest.Wait()
}

// removal returns when the removal of the VMM's zone began.
func (r *rig) removal(v guest) time.Time {
	s, err := r.Show(v.id)
	if err != nil || s.Removal == nil {
		return time.Time{}
	}
	return s.Removal.Begun
}

// forgotten verifies that nothing is left of a VMM after Nexus has acknowledged its end.
func (r *rig) forgotten(v guest) {
	r.t.Helper()
	synctest.Wait()
	if _, err := r.State(v.id); !vmm.Refused(err, vmm.Unknown) {
		r.t.Errorf("the VMM still exists: %v", err)
	}
	zones, err := r.zones.List(r.t.Context())
	if err != nil || slices.ContainsFunc(zones, func(z zoneInfo) bool { return z.Name == v.zone }) {
		r.t.Errorf("zones left: %v, %v", zones, err)
	}
}

// took verifies how long something took that has just ended.
func (r *rig) took(begun time.Time, least, most time.Duration) {
	r.t.Helper()
	if took := time.Since(begun); took < least || took > most {
		r.t.Errorf("took %s, want %s to %s", took, least, most)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pipes is a network in memory: servers by name.
type pipes struct {
	mu      sync.Mutex
	servers map[string]*connstest.Pipes
	all     []*http.Server
	wait    sync.WaitGroup
}

func newPipes() *pipes { return &pipes{servers: map[string]*connstest.Pipes{}} }

// serve serves a handler under a name until stop is called.
func (p *pipes) serve(name string, h http.Handler) (stop func()) {
	l := connstest.New()
	server := &http.Server{Addr: name, Handler: h, ErrorLog: quiet}
	p.mu.Lock()
	p.servers[name] = l
	p.all = append(p.all, server)
	p.mu.Unlock()
	p.wait.Go(func() { _ = server.Serve(l) })
	return func() {
		p.mu.Lock()
		if p.servers[name] == l {
			delete(p.servers, name)
		}
		p.mu.Unlock()
		_ = server.Close()
	}
}

// refuse ends the server at an address at once, with all connections to it.
func (p *pipes) refuse(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.servers, name)
	for _, s := range p.all {
		if s.Addr == name {
			_ = s.Close()
		}
	}
}

func (p *pipes) close() {
	p.mu.Lock()
	for _, s := range p.all {
		_ = s.Close()
	}
	p.mu.Unlock()
	p.wait.Wait()
}

func (p *pipes) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	p.mu.Lock()
	l := p.servers[addr]
	p.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	}
	return l.Dial(ctx)
}
