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

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

const (
	// maxVMMs bounds the table. A sled runs some hundreds at most.
	maxVMMs = 10_000
	// startsAtOnce bounds the zones that are being made, heavyAtOnce those that
	// are being uninstalled: both load the host's disks.
	startsAtOnce = 8
	heavyAtOnce  = 16
	// unregisterBudget is how long an unregister waits for the zone to be gone.
	unregisterBudget = 30 * time.Second
	// listBudget bounds a look at all zones.
	listBudget = 5 * time.Second
)

// Config is what an Agent is made of. Its parts are not closed by the Agent.
type Config struct {
	Zones     zone.Manager
	Publisher runner.Publisher
	// Journal makes states durable; nil means that nothing survives a restart.
	Journal runner.Journal
	// Propolis returns a client for the server at an address.
	Propolis func(netip.AddrPort) runner.Propolis
	Limits   vmm.Limits
	// Prefix begins the name of every zone.
	Prefix string
	// Sled is who this sled is.
	Sled  api.Identifiers
	Watch propolis.WatchOptions
	// KeepOrphans leaves zones alone that carry the prefix and belong to no VMM;
	// otherwise they are removed. They are reported in any case.
	KeepOrphans bool
	Evidence    time.Duration
	// About is what the admin API says of this agent, but for VMMs and Started.
	About admin.About
	Log   zerolog.Logger
}

// An Agent is the table of VMMs. All methods are safe for concurrent use; it is
// what the sled API and the admin API are served from.
type Agent struct {
	cfg   Config
	host  *runner.Host
	guard *watchdog.Guard
	bus   admin.Bus
	past  past
	stop  context.CancelFunc

	abandoned atomic.Int64
	draining  atomic.Bool
	// loading is set until every VMM of the ledger is in the table.
	loading atomic.Bool
	orphans atomic.Int64
	audits  sync.WaitGroup

	mu     sync.Mutex
	vmms   map[uuid.UUID]*runner.Runner
	claims map[netip.AddrPort]uuid.UUID
}

var (
	_ api.Agent   = (*Agent)(nil)
	_ admin.Agent = (*Agent)(nil)
)

// New makes an Agent without VMMs. It answers that it is loading until Adopt
// was called.
func New(cfg Config) *Agent {
	if cfg.Journal == nil {
		cfg.Journal = runner.Volatile{}
	}
	cfg.About.Started = time.Now()
	life, stop := context.WithCancel(context.Background())
	a := &Agent{cfg: cfg, stop: stop, guard: watchdog.New(cfg.Log),
		vmms: map[uuid.UUID]*runner.Runner{}, claims: map[netip.AddrPort]uuid.UUID{}}
	a.host = &runner.Host{
		Life: life, Zones: cfg.Zones, Guard: a.guard, Publisher: cfg.Publisher, Journal: cfg.Journal,
		Propolis: cfg.Propolis, Starts: watchdog.NewGate(startsAtOnce), Heavy: watchdog.NewGate(heavyAtOnce),
		Limits: cfg.Limits, Prefix: cfg.Prefix, Watch: cfg.Watch, Evidence: cfg.Evidence,
		Sled: propolis.Metadata{SledID: cfg.Sled.SledID, SledSerial: cfg.Sled.Serial,
			SledRevision: cfg.Sled.Revision, SledModel: cfg.Sled.Model},
		Claim: a.claim, Unclaim: a.unclaim, Event: a.event, Forgotten: a.forget,
		Abandoned: &a.abandoned, Log: cfg.Log,
	}
	a.loading.Store(true)
	return a
}

// Drain refuses whatever would begin something new; what has begun can still be ended.
func (a *Agent) Drain() { a.draining.Store(true) }

// Close ends the agent's own machinery within ctx. It touches no VM.
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
	a.audits.Wait() // each of its looks is bounded
	return a.guard.Close(ctx)
}

// find looks a VMM up.
func (a *Agent) find(id uuid.UUID) (*runner.Runner, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.vmms[id]; r != nil {
		return r, nil
	}
	if a.loading.Load() {
		return nil, &vmm.Refusal{Reason: vmm.Loading}
	}
	return nil, &vmm.Refusal{Reason: vmm.Unknown, Detail: id.String()}
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

// admit finds the Runner of a VMM or makes one.
func (a *Agent) admit(id uuid.UUID, reg *wire.Registration) (*runner.Runner, error) {
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
	case len(a.vmms) >= maxVMMs:
		return nil, &vmm.Refusal{Reason: vmm.Busy, Detail: fmt.Sprintf("%d VMMs are registered", len(a.vmms))}
	}
	r := runner.New(a.host, id, reg)
	a.vmms[id] = r
	return r, nil
}

func (a *Agent) forget(last vmm.Status) {
	a.past.add(last)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.vmms, last.ID)
}

func (a *Agent) claim(addr netip.AddrPort, id uuid.UUID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if holder, ok := a.claims[addr]; ok && holder != id {
		return fmt.Errorf("%s is in use by VMM %s", addr, holder)
	}
	a.claims[addr] = id
	return nil
}

func (a *Agent) unclaim(addr netip.AddrPort, id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claims[addr] == id {
		delete(a.claims, addr)
	}
}

func (a *Agent) event(id uuid.UUID, e vmm.Event) { a.bus.Publish(admin.NamedEvent{VMM: id, Event: e}) }

// running names the zones that the prefix of Omicron's zones begins.
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
