package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const prefix = "oxz_propolis-server_"

var sledID = uuid.New()

// waitLimit bounds all waits of benchmarks.
const waitLimit = 2 * time.Minute

// server is the process in zones and in floors: it exists and costs nothing.
var server = []string{"/bin/sleep", "3600"}

// log returns a logger as in production, without the final system call.
func log() zerolog.Logger {
	return zerolog.New(io.Discard).Level(zerolog.InfoLevel).With().Timestamp().Logger()
}

// A harness is a whole agent in this process.
type harness struct {
	*agent.Agent
	b     testing.TB
	kills *kills
	acks  *acks
	pub   *publish.Client
	disk  *ledger.Ledger

	closed sync.Once

	mu     sync.Mutex
	guests map[netip.AddrPort]*guest
	port   uint16
}

var limits = vmm.Limits{StopGrace: 10 * time.Minute, MaxStopGrace: time.Hour, StartTimeout: 15 * time.Minute,
	RebootTimeout: 10 * time.Minute, RetryInitial: 250 * time.Millisecond, RetryMax: 30 * time.Second,
	GiveUpAfter: 24 * time.Hour}

// options configure a harness.
type options struct {
	zones    zone.Manager
	dir      string // of the ledger; empty: a new one
	nexus    []string
	propolis func(netip.AddrPort) runner.Propolis // nil: a guest in memory
}

func newHarness(b testing.TB, o options) *harness {
	b.Helper()
	if o.dir == "" {
		o.dir = b.TempDir()
	}
	disk, err := ledger.Open(filepath.Join(o.dir, ledger.FileName), ledger.Options{Log: log()})
	if err != nil {
		b.Fatal(err)
	}
	r := &harness{b: b, disk: disk, kills: &kills{Manager: o.zones, at: map[string]*atomic.Int64{}}, guests: map[netip.AddrPort]*guest{},
		pub: publish.New(publish.Config{Addresses: o.nexus, Log: log()})}
	r.acks = &acks{Client: r.pub, last: make(chan time.Time, 1)}
	if o.propolis == nil {
		o.propolis = r.newGuest
	}
	r.Agent = agent.New(agent.Config{
		Zones: r.kills, Nexus: r.acks, Journal: disk, Propolis: o.propolis, Prefix: prefix, Evidence: 5 * time.Second, Log: log(),
		Limits: limits,
		Sled:   func() propolis.Metadata { return propolis.Metadata{SledID: sledID} },
	})
	held, err := disk.States(limits)
	if err != nil {
		b.Fatal(err)
	}
	r.Adopt(held)
	b.Cleanup(r.close)
	return r
}

func (r *harness) close() { r.closed.Do(r.closeNow) }

func (r *harness) closeNow() {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := errors.Join(r.Agent.Close(ctx), r.pub.Close(ctx), r.disk.Close(ctx)); err != nil {
		r.b.Error(err)
	}
}

// backends are the measured kinds of zones.
var backends = []struct {
	name string
	open func(testing.TB) zone.Manager
}{
	{"memory", func(testing.TB) zone.Manager { return zonetest.New(zonetest.Hooks{}) }},
	{"process", openProcess},
}

func openProcess(b testing.TB) zone.Manager { return openProcessIn(b, b.TempDir()) }

// zoneInit returns the path of the program for inits, as it is installed beside the agent.
func zoneInit(b testing.TB) string {
	b.Helper()
	path, err := buildZoneInit()
	if err != nil {
		b.Fatal(err)
	}
	return path
}

var buildZoneInit = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("sled-zone-init-%d", os.Getpid()))
	build := exec.Command("go", "build", "-o", path, "github.com/sledagent/sledagent/cmd/sled-zone-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build sled-zone-init: %w: %s", err, out)
	}
	return path, nil
})

func openProcessIn(b testing.TB, dir string) *process.Manager {
	b.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		b.Skip("there are no process-backed zones here")
	}
	m, err := process.New(process.Config{Dir: dir, Prefix: prefix, Argv: server, Log: log(), Self: zoneInit(b)})
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

// begin registers a VMM and starts it.
func (r *harness) begin(o wire.BodyOptions) (v vm, err error) {
	v.id = uuid.New()
	if _, err := r.Register(r.b.Context(), v.id, wiretest.Registration(o)); err != nil {
		return v, err
	}
	r.mu.Lock()
	v.guest = r.guests[o.PropolisAddr]
	r.mu.Unlock()
	return v, r.Run(r.b.Context(), v.id)
}

// start begins a VMM for each address of a Propolis and returns when all of them run.
func (r *harness) start(o wire.BodyOptions, addrs ...netip.AddrPort) []vm {
	r.b.Helper()
	vms := make([]vm, len(addrs))
	var all errgroup.Group
	for i, addr := range addrs {
		all.Go(func() (err error) {
			o := o
			o.PropolisAddr = addr
			vms[i], err = r.begin(o)
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

// startInMemory is start for n VMMs, each with a guest in memory.
func (r *harness) startInMemory(n int) []vm {
	r.b.Helper()
	addrs := make([]netip.AddrPort, n)
	for i := range addrs {
		r.port++ // Nothing listens there.
		addrs[i] = netip.AddrPortFrom(netip.IPv6Loopback(), r.port)
	}
	return r.start(wire.BodyOptions{NICs: 1}, addrs...)
}

// forget ends the VMMs that the agent still has.
func (r *harness) forget(vms []vm) {
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

// awaitAll returns once the condition is true for every VMM.
func (r *harness) awaitAll(vms []vm, what string, is func(vm) bool) {
	r.b.Helper()
	late := time.After(waitLimit)
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

// guest is a Propolis in memory: its VM runs at once, it accepts a stop without effect, and it
// reports Destroyed on request.
type guest struct{ states chan propolis.Observation }

func (r *harness) newGuest(addr netip.AddrPort) runner.Propolis {
	g := &guest{states: make(chan propolis.Observation, 2)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guests[addr] = g
	return g
}

func (g *guest) Ready(context.Context) error                          { return nil }
func (g *guest) Ensure(context.Context, propolis.EnsureRequest) error { return nil }
func (g *guest) Instance(context.Context) (uuid.UUID, error)          { return uuid.Nil, nil }
func (g *guest) Snapshot(context.Context, string, uuid.UUID) error    { return nil }
func (g *guest) Close()                                               {}
func (g *guest) say(gen uint64, s propolis.State) {
	g.states <- propolis.Observation{Gen: gen, State: s}
}

func (g *guest) Put(_ context.Context, a propolis.Action, _ time.Duration) error {
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

// acks tells when Nexus has acknowledged the ends of all VMMs.
type acks struct {
	*publish.Client
	left atomic.Int64
	last chan time.Time
}

// await yields when the ends of n VMMs have been acknowledged from now on.
func (a *acks) await(n int) <-chan time.Time {
	a.left.Store(int64(n))
	return a.last
}

func (a *acks) Put(ctx context.Context, id uuid.UUID, r vmm.Record) publish.Answer {
	answer := a.Client.Put(ctx, id, r)
	if answer.Verdict == publish.Acked && r.VMM.State == vmm.WireDestroyed && a.left.Add(-1) == 0 {
		a.last <- time.Now()
	}
	return answer
}

// begun is the instant that kills are counted from.
var begun = time.Now()

// kills records when the first kill of each zone was sent.
type kills struct {
	zone.Manager
	mu sync.Mutex
	at map[string]*atomic.Int64 // after begun; 0: never
}

// slot is where the kill of a zone is recorded.
func (k *kills) slot(name string) *atomic.Int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at[name] == nil {
		k.at[name] = new(atomic.Int64)
	}
	return k.at[name]
}

func (k *kills) Hold(name string) zone.Handle {
	h := zone.Hold(k.Manager, name)
	if h == nil {
		return nil
	}
	return &held{Handle: h, at: k.slot(name)}
}

// held records when the zone was killed through its handle.
type held struct {
	zone.Handle
	at *atomic.Int64
}

func (h *held) Kill() bool {
	sent := h.Handle.Kill()
	h.at.CompareAndSwap(0, int64(time.Since(begun)))
	return sent
}

func (k *kills) Remove(ctx context.Context, rung zone.Rung, name string) error {
	err := k.Manager.Remove(ctx, rung, name)
	if rung == zone.RungKill {
		k.slot(name).CompareAndSwap(0, int64(time.Since(begun)))
	}
	return err
}

func (k *kills) sent(name string) (time.Time, bool) {
	at := k.slot(name).Load()
	return begun.Add(time.Duration(at)), at != 0
}
