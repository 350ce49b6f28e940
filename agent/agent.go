package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/meter"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

// Config configures an Agent, which does not close its parts.
type Config struct {
	Zones zone.Manager
	Nexus runner.Nexus
	// Ports sets up guests' ports; nil means that their networking is only recorded.
	Ports zone.Ports
	// Journal makes states durable; nil means that nothing survives a restart.
	Journal Journal
	// Propolis returns a client for the server at an address.
	Propolis func(netip.AddrPort) runner.Propolis
	Limits   vmm.Limits
	// Prefix begins the name of every zone.
	Prefix string
	// Sled identifies the sled, for Propolis's statistics. While its id is nil, nothing
	// can be registered or started.
	Sled  func() propolis.Metadata
	Watch propolis.WatchOptions
	// Event is called with each event of a VMM, sequentially for one VMM. It must return
	// at once, and may be nil.
	Event func(uuid.UUID, vmm.Event)
	// Bundle is given the evidence of each zone that was ended by force or has failed.
	// It must return at once, and may be nil.
	Bundle func(bundle.Evidence)
	// KeepOrphans keeps zones that have the prefix and belong to no VMM; otherwise they
	// are removed. They are reported in any case.
	KeepOrphans bool
	// Evidence is the time for collecting evidence, Collector what does so before a
	// deadline; nil means that only the log is saved, after the kill.
	Evidence  time.Duration
	Collector runner.Collector
	// Disposition keeps whether the sled takes new VMMs; nil means that a drain does not
	// survive a restart.
	Disposition *disposition.Store
	// Registered bounds the total size of registrations, in bytes of the ledger; 256 MiB
	// by default.
	Registered int
	Log        zerolog.Logger
}

// A Journal is what survives a restart; ledger.Ledger implements it. Its methods return
// at once and are safe for concurrent use.
type Journal interface {
	runner.Journal
	// Fresh reports whether the ledger is new, so that it does not hold VMMs that ran
	// before. Settle ends that.
	Fresh() bool
	Settle()
	// Lost describes what of the ledger could not be read; empty for nothing.
	Lost() string
	// Ended returns the last Status of an ended VMM, AllEnded those of all that are kept,
	// latest first and without events. HasEnded reports whether a VMM with this id has
	// ended; ids are kept longer.
	Ended(uuid.UUID) (vmm.Status, bool)
	AllEnded() []vmm.Status
	HasEnded(uuid.UUID) bool
}

// An Agent is the table of VMMs behind the sled API and the admin API. Its methods are
// safe for concurrent use.
type Agent struct {
	cfg   Config
	host  *runner.Host
	guard *watchdog.Guard
	meter *meter.Meter
	stop  context.CancelFunc

	abandoned, unsure, gaveUp atomic.Int64
	portsFailed               atomic.Int64
	draining                  atomic.Bool
	// loading is true until every VMM of the ledger is in the table.
	loading atomic.Bool
	orphans atomic.Int64
	audits  sync.WaitGroup
	// drained wakes the drainer.
	drained chan struct{}
	// unlisted is the error of the last list of zones. Only the audit uses it.
	unlisted string

	mu     sync.Mutex
	vmms   map[uuid.UUID]*runner.Runner
	claims map[netip.AddrPort]uuid.UUID
	// sizes are the sizes of registrations in bytes, registered is their sum.
	sizes      map[uuid.UUID]int
	registered int
	// seen are the host's zones, removals those of zones without a VMM.
	seen     seenZones
	removals map[string]*orphan
}

// New returns an Agent without VMMs. It refuses requests as loading until Adopt is
// called.
func New(cfg Config) *Agent {
	if cfg.Journal == nil {
		cfg.Journal = ledger.NewMemory(0)
	}
	if cfg.Disposition == nil {
		cfg.Disposition = disposition.NewMemory(bootclock.Host())
	}
	if cfg.Registered == 0 {
		cfg.Registered = maxRegistered
	}
	if cfg.Event == nil {
		cfg.Event = func(uuid.UUID, vmm.Event) {}
	}
	life, stop := context.WithCancel(context.Background())
	a := &Agent{cfg: cfg, stop: stop, guard: watchdog.New(cfg.Log), meter: meter.New(),
		vmms: map[uuid.UUID]*runner.Runner{}, claims: map[netip.AddrPort]uuid.UUID{},
		sizes: map[uuid.UUID]int{}, removals: map[string]*orphan{}, drained: make(chan struct{}, 1)}
	a.guard.Late = a.meter.Late
	a.host = &runner.Host{
		Life: life, Zones: cfg.Zones, Guard: a.guard, Nexus: cfg.Nexus, Journal: cfg.Journal,
		Propolis: cfg.Propolis, Starts: watchdog.NewGate(startsAtOnce), Heavy: watchdog.NewGate(heavyAtOnce),
		Prefix: cfg.Prefix, Watch: cfg.Watch, Collector: cfg.Collector,
		Sled: cfg.Sled, Claim: a.claim, Unclaim: a.unclaim, Event: cfg.Event, Bundle: cfg.Bundle, Left: a.forget,
		Ports: cfg.Ports, PortsFailed: &a.portsFailed,
		Abandoned: &a.abandoned, Unsure: &a.unsure, GaveUp: &a.gaveUp, Meter: a.meter, Log: cfg.Log,
	}
	a.host.Settings.Set(cfg.Limits, cfg.Evidence)
	a.loading.Store(true)
	return a
}

// Reconfigure changes the limits of all VMMs, from the next step of each on, and the time for
// collecting evidence. Deadlines that are armed stay as they are.
func (a *Agent) Reconfigure(limits vmm.Limits, evidence time.Duration) {
	a.host.Settings.Set(limits, evidence)
}

// Drain refuses requests that begin something new; VMMs can still be ended.
func (a *Agent) Drain() { a.draining.Store(true) }

// Close ends the agent's goroutines within ctx. It touches no VM.
func (a *Agent) Close(ctx context.Context) error {
	a.Drain()
	a.stop()
	for _, r := range a.all() {
		select {
		case <-r.Ended():
		case <-ctx.Done():
			return fmt.Errorf("wait for runners to end: %w", context.Cause(ctx))
		}
	}
	audited := make(chan struct{})
	go func() {
		a.audits.Wait()
		close(audited)
	}()
	select {
	case <-audited:
	case <-ctx.Done(): // listing zones may exceed its budget
		return fmt.Errorf("wait for the list of zones: %w", context.Cause(ctx))
	}
	return a.guard.Close(ctx)
}

// find returns the Runner of a VMM.
func (a *Agent) find(id uuid.UUID) (*runner.Runner, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.vmms[id]; r != nil {
		return r, nil
	}
	if a.loading.Load() {
		return nil, &vmm.Refusal{Reason: vmm.Loading}
	}
	if err := a.unreadable(id); err != nil {
		return nil, err
	}
	return nil, &vmm.Refusal{Reason: vmm.Unknown, Detail: id.String()}
}

// unreadable refuses an id that the ledger does not hold but may have held: such a VMM
// is not reported as unknown, and no other is begun under its id.
func (a *Agent) unreadable(id uuid.UUID) error {
	if lost := a.cfg.Journal.Lost(); lost != "" && !a.cfg.Journal.HasEnded(id) {
		return &vmm.Refusal{Reason: vmm.Unreadable, Detail: lost}
	}
	return nil
}

func (a *Agent) all() []*runner.Runner {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*runner.Runner, 0, len(a.vmms))
	for _, r := range a.vmms {
		all = append(all, r)
	}
	return all
}

// admit returns the Runner of a VMM, or creates one.
func (a *Agent) admit(id uuid.UUID, reg *vmm.Registration) (*runner.Runner, error) {
	size := ledger.Size(reg)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.vmms[id]; r != nil {
		return r, nil
	}
	switch {
	case a.loading.Load():
		return nil, &vmm.Refusal{Reason: vmm.Loading}
	case a.draining.Load():
		return nil, &vmm.Refusal{Reason: vmm.Draining}
	case a.cfg.Journal.HasEnded(id):
		return nil, &vmm.Refusal{Reason: vmm.Terminating, Detail: "a VMM of this id has ended here"}
	case a.cfg.Disposition.State().Value() == disposition.Evacuating: // read under the lock: see Held
		return nil, a.evacuating()
	case len(a.vmms) >= maxVMMs:
		return nil, &vmm.Refusal{Reason: vmm.Full, Detail: fmt.Sprintf("%d VMMs are registered, the limit is %d", len(a.vmms), maxVMMs)}
	case a.registered+size > a.cfg.Registered:
		return nil, &vmm.Refusal{Reason: vmm.Full, Detail: fmt.Sprintf(
			"registrations take %d bytes of the ledger, %d more exceed the limit of %d", a.registered, size, a.cfg.Registered)}
	}
	if err := a.unreadable(id); err != nil {
		return nil, err
	}
	if name := a.cfg.Prefix + id.String(); a.removals[name] != nil { // it would remove the new VMM's, too
		return nil, &vmm.Refusal{Reason: vmm.Busy, Detail: "zone " + name + ", which belonged to no VMM, is being removed"}
	}
	r := runner.New(a.host, id, reg)
	a.enter(id, r, size)
	return r, nil
}

// enter adds a VMM to the table. The caller holds the lock.
func (a *Agent) enter(id uuid.UUID, r *runner.Runner, size int) {
	a.vmms[id], a.sizes[id] = r, size
	a.registered += size
}

func (a *Agent) forget(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.registered -= a.sizes[id]
	delete(a.vmms, id)
	delete(a.sizes, id)
}

// claim reserves an address for a VMM. Spellings of the same address are equal.
func (a *Agent) claim(addr netip.AddrPort, id uuid.UUID) error {
	addr = plain(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	holder, ok := a.claims[addr]
	if !ok || holder == id {
		a.claims[addr] = id
		return nil
	}
	if r := a.vmms[holder]; r != nil {
		if _, phase, ok := r.State(); ok && phase >= vmm.Stopping {
			return fmt.Errorf("%s is in use by VMM %s: %w", addr, holder, runner.ErrLeaving)
		}
	}
	return fmt.Errorf("%s is in use by VMM %s", addr, holder)
}

func (a *Agent) unclaim(addr netip.AddrPort, id uuid.UUID) {
	addr = plain(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claims[addr] == id {
		delete(a.claims, addr)
	}
}

// plain normalizes an address: an IPv4-mapped IPv6 address becomes the IPv4 address, and
// a zone is removed, since it may be implied.
func plain(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
}

// running lists the zones with the prefix of Omicron's zones.
func running(zones []zone.Info) []string {
	names := []string{}
	for _, z := range zones {
		if z.State == zone.Running && strings.HasPrefix(z.Name, "oxz_") {
			names = append(names, z.Name)
		}
	}
	slices.Sort(names)
	return names
}
