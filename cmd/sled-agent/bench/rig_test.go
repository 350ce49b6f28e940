package bench

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const prefix = "oxz_propolis-server_"

// patience is how long anything may take before a benchmark gives up.
const patience = 2 * time.Minute

// server is what runs in a zone and in the floors: something that is there and
// costs nothing.
var server = []string{"/bin/sleep", "3600"}

// log is one as in production, but for the system call at its end.
func log() zerolog.Logger {
	return zerolog.New(io.Discard).Level(zerolog.InfoLevel).With().Timestamp().Logger()
}

// rig is a whole agent in this process.
type rig struct {
	*agent.Agent
	b     testing.TB
	kills *kills
	pub   *publish.Publisher
	disk  *ledger.Ledger

	mu     sync.Mutex
	guests map[netip.AddrPort]*guest
	port   uint16
}

// options say what a rig is made of.
type options struct {
	zones    zone.Manager
	nexus    []string
	propolis func(netip.AddrPort) runner.Propolis // nil: a guest in memory
}

func newRig(b testing.TB, o options) *rig {
	b.Helper()
	disk, err := ledger.Open(filepath.Join(b.TempDir(), ledger.FileName), ledger.Options{Log: log()})
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{b: b, disk: disk, kills: &kills{Manager: o.zones, at: map[string]time.Time{}}, guests: map[netip.AddrPort]*guest{},
		pub: publish.New(publish.Config{Addresses: o.nexus, Log: log()})}
	if o.propolis == nil {
		o.propolis = r.newGuest
	}
	r.Agent = agent.New(agent.Config{
		Zones: r.kills, Publisher: r.pub, Journal: disk, Propolis: o.propolis, Prefix: prefix, Evidence: 5 * time.Second, Log: log(),
		Limits: vmm.Limits{StopGrace: 10 * time.Minute, MaxStopGrace: time.Hour, StartTimeout: 15 * time.Minute,
			RebootTimeout: 10 * time.Minute},
	})
	r.Adopt(nil)
	b.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(r.Agent.Close(ctx), r.pub.Close(ctx), r.disk.Close(ctx)); err != nil {
		r.b.Error(err)
	}
}

// backends are the kinds of zones to measure with.
var backends = []struct {
	name string
	open func(testing.TB) zone.Manager
}{
	{"memory", func(testing.TB) zone.Manager { return zonetest.New(zonetest.Hooks{}) }},
	{"process", openProcess},
}

func openProcess(b testing.TB) zone.Manager {
	b.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		b.Skip("there are no process-backed zones here")
	}
	m, err := process.New(process.Config{Dir: b.TempDir(), Prefix: prefix, Argv: server, Log: log()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	return m
}

// vm is a VMM that a benchmark registered.
type vm struct {
	id    uuid.UUID
	guest *guest
}

func (v vm) zone() string { return prefix + v.id.String() }

// begin registers a VMM whose Propolis is at addr and has it run.
func (r *rig) begin(addr netip.AddrPort) (v vm, err error) {
	reg, err := wire.Decode(wire.NewBody(wire.BodyOptions{PropolisAddr: addr, NICs: 1}))
	if err != nil {
		return v, err
	}
	v.id = uuid.New()
	if _, err := r.Register(r.b.Context(), v.id, reg); err != nil {
		return v, err
	}
	r.mu.Lock()
	v.guest = r.guests[addr]
	r.mu.Unlock()
	return v, r.Run(r.b.Context(), v.id)
}

// start begins VMMs, one for each address, and returns when all of them run.
func (r *rig) start(addrs ...netip.AddrPort) []vm {
	r.b.Helper()
	vms := make([]vm, len(addrs))
	var all errgroup.Group
	for i, addr := range addrs {
		all.Go(func() (err error) {
			vms[i], err = r.begin(addr)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		r.b.Fatal(err)
	}
	r.awaitAll(vms, "running", func(v vm) bool {
		record, err := r.State(v.id)
		return err == nil && record.VMM.State == vmm.WireRunning
	})
	return vms
}

// startInMemory is start for n VMMs with a guest in memory each.
func (r *rig) startInMemory(n int) []vm {
	r.b.Helper()
	addrs := make([]netip.AddrPort, n)
	for i := range addrs {
		r.port++ // nobody listens there
		addrs[i] = netip.AddrPortFrom(netip.IPv6Loopback(), r.port)
	}
	return r.start(addrs...)
}

// forget ends what the agent still knows of VMMs.
func (r *rig) forget(vms []vm) {
	r.b.Helper()
	var all errgroup.Group
	for _, v := range vms {
		all.Go(func() error {
			_, err := r.Unregister(r.b.Context(), v.id)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		r.b.Fatal(err)
	}
}

// awaitAll returns once every VMM has been seen as it should be.
func (r *rig) awaitAll(vms []vm, what string, is func(vm) bool) {
	r.b.Helper()
	late := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < len(vms); {
		if is(vms[i]) {
			i++
			continue
		}
		select {
		case <-tick.C:
		case <-late:
			status, err := r.Show(vms[i].id)
			r.b.Fatalf("VMM %d of %d is not %s: %+v, %v", i, len(vms), what, status, err)
		}
	}
}

// guest is a Propolis in memory: it runs its VM at once, accepts a stop and does
// nothing about it, and says Destroyed when it is told to.
type guest struct{ states chan propolis.Observation }

func (r *rig) newGuest(addr netip.AddrPort) runner.Propolis {
	g := &guest{states: make(chan propolis.Observation, 2)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guests[addr] = g
	return g
}

func (g *guest) Ready(context.Context) error                          { return nil }
func (g *guest) Ensure(context.Context, propolis.EnsureRequest) error { return nil }
func (g *guest) Snapshot(context.Context, string, uuid.UUID) error    { return nil }
func (g *guest) Close()                                               {}
func (g *guest) say(gen uint64, s propolis.State) {
	g.states <- propolis.Observation{Gen: gen, State: s}
}

func (g *guest) Put(_ context.Context, a propolis.Action) error {
	if a == propolis.Run {
		g.say(1, propolis.StateRunning)
	}
	return nil
}

func (g *guest) Watch(ctx context.Context, _ uint64, _ propolis.WatchOptions, sink func(propolis.WatchEvent)) {
	for {
		select {
		case o := <-g.states:
			sink(propolis.WatchEvent{Observation: &o})
			if o.State == propolis.StateDestroyed {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// kills notes when the first kill of each zone had been sent.
type kills struct {
	zone.Manager
	mu sync.Mutex
	at map[string]time.Time
}

func (k *kills) Kill(ctx context.Context, name string) error {
	err := k.Manager.Kill(ctx, name)
	at := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.at[name]; !ok {
		k.at[name] = at
	}
	return err
}

func (k *kills) sent(name string) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.at[name]
	return at, ok
}
