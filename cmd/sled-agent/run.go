package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/evidence"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/publish/srv"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/logging"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/bootclock"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
)

const (
	// exitBudget bounds an orderly exit, and exitLimit any exit. The contract allows
	// 5 seconds; the rest is reserve.
	exitBudget = 4 * time.Second
	exitLimit  = 4500 * time.Millisecond
	// firstTries is how long the start waits for the servers to listen.
	firstTries = 2 * time.Second
	// heartbeat is both the interval of Propolis heartbeats and the time to answer one.
	// A Propolis that hangs is shown as silent within twice that.
	heartbeat = 5 * time.Second
)

// logName is the file in the state directory for log lines that cannot be written to
// standard error.
const logName = "sled-agent.log"

// runAgent runs the agent until a signal ends it. After the signal it returns in time
// even if something hangs: the agent may exit at any point without harm.
func runAgent(file string) error {
	ctx, cancel := untilEnded()
	defer cancel()
	caught, hups := survive(), reloads()
	done := make(chan error, 1)
	go func() { done <- runUntilDone(ctx, caught, hups, file) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(exitLimit):
		return nil
	}
}

// runUntilDone starts the agent and runs it until ctx ends. Its error is that of the start.
func runUntilDone(ctx context.Context, caught, hups <-chan os.Signal, file string) error {
	files := raiseFiles()
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log, err := logging.Open(cfg.Log, os.Stderr, filepath.Join(cfg.StateDir, logName))
	if err != nil {
		return fatal{err}
	}
	defer log.Close()
	log.Capture()
	log.Info().Uint64("descriptors", files).Msg("starting")
	go logSignals(ctx, caught, log.Logger)
	d := newDaemon(ctx, cfg, log, files)
	d.file = file
	defer d.close()
	err = d.start(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		log.Warn().Err(err).Msg("start ended by a signal")
	case err != nil:
		return fatal{err}
	}
	d.reloadOn(ctx, hups)
	return nil
}

// A daemon is the running agent with all its parts.
type daemon struct {
	// cfg is the configuration at the start, inForce that of now.
	cfg       *config.Config
	inForce   atomic.Pointer[config.Config]
	reloading sync.Mutex
	log       *logging.Log
	files     uint64
	notifier  *notifier
	troubles  *troubles
	identity  *identity
	api       *api.Server
	admin     *admin.Server
	agent     *agent.Agent
	nexus     *publish.Client
	access
	resolver *srv.Resolver // nil if Nexus is not found by DNS
	zones    *zones
	ledger   *ledger.Ledger
	bundles  *bundle.Store
	evidence *evidence.Store
	unlock   func() error
	limits   vmm.Limits
	backend  config.Backend
	started  time.Time
	events   admin.Bus
	pulse    pulse
	facts    facts
	// listening ends the endpoints when it is canceled.
	listening context.Context
	silence   context.CancelFunc
	endpoints sync.WaitGroup
	// addr is where the sled API listens; nil until it does.
	addr atomic.Pointer[net.Addr]
}

func newDaemon(ctx context.Context, cfg *config.Config, log *logging.Log, files uint64) *daemon {
	d := &daemon{cfg: cfg, log: log, files: files, started: time.Now(), identity: &identity{dir: cfg.StateDir, configured: cfg.SledID},
		notifier: newNotifier(ctx, log.Logger)}
	d.listening, d.silence = context.WithCancel(context.Background())
	d.troubles = newTroubles(log.Logger, func(all []string) { d.notifier.say("STATUS=" + status(all)) })
	d.limits = limitsOf(cfg)
	d.inForce.Store(cfg)
	return d
}

func limitsOf(cfg *config.Config) vmm.Limits {
	return vmm.Limits{StopGrace: cfg.Watchdog.StopGrace, MaxStopGrace: cfg.Watchdog.MaxStopGrace,
		StartTimeout: cfg.Watchdog.StartTimeout, RebootTimeout: cfg.Watchdog.RebootTimeout,
		SoftStop:     propolis.SoftStop(cfg.Propolis.APIVersion),
		RetryInitial: cfg.Nexus.RetryInitial, RetryMax: cfg.Nexus.RetryMax, GiveUpAfter: cfg.Nexus.GiveUpAfter,
		Standalone: len(cfg.Nexus.Addresses)+len(cfg.Nexus.DNS) == 0}
}

// start opens and starts everything. Errors of the ledger and the zones are always
// fatal, since no deadline can be kept without them. Other errors are fatal only if
// there are no VMMs: otherwise the agent keeps the deadlines and retries the failed
// parts.
func (d *daemon) start(ctx context.Context) error {
	if err := d.openLedger(); err != nil {
		return err
	}
	if err := d.assemble(); err != nil {
		return err
	}
	d.watch()
	first := d.listen()
	d.findNexus()
	begun := time.Now()
	all, err := d.ledger.States(d.limits)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		if err := wait(ctx, first, nil); err != nil {
			return err
		}
	}
	d.agent.Adopt(all)
	d.log.Info().Int("vmms", len(all)).Dur("took_ms", time.Since(begun)).Msg("ledger loaded")
	_ = wait(ctx, first, time.After(firstTries)) // failed endpoints are retried
	go watchSuspend(ctx, bootclock.Host().Now, func(gap time.Duration) {
		d.log.Warn().Stringer("for", gap).Msg("host was suspended; deadlines come forward by that")
		d.agent.Slept(gap)
	})
	sizeReservoir(ctx, d.zones.bhyve, d.reservoir(), d.log.Logger)
	d.ready()
	return nil
}

// openLedger locks the state directory and opens its ledger.
func (d *daemon) openLedger() (err error) {
	dir := d.cfg.StateDir
	if err := openState(dir); err != nil {
		return err
	}
	if d.unlock, err = ledger.Lock(dir); err != nil {
		return err
	}
	d.ledger, err = ledger.Open(filepath.Join(dir, ledger.FileName), ledger.Options{Log: d.log.Logger, KeepEnded: d.cfg.Admin.KeepEnded})
	if err == nil && d.ledger.Lost() != "" {
		d.troubles.set(ledger.FileName, fmt.Errorf("%s: entries could not be read, and VMMs that are not known get 503: %s",
			ledger.FileName, d.ledger.Lost()))
	}
	return err
}

// assemble creates the agent and connects its parts.
func (d *daemon) assemble() (err error) {
	cfg, log := d.cfg, d.log.Logger
	d.backend = cfg.Zones.Backend.On(runtime.GOOS)
	if d.zones, err = openZones(cfg, d.backend, log); err != nil {
		return err
	}
	d.openNexus()
	d.bundles = bundle.Open(filepath.Join(cfg.StateDir, "bundles"), log)
	d.evidence = openEvidence(cfg, d.zones, log)
	d.agent = agent.New(agent.Config{
		Zones: d.zones.Manager, Ports: d.zones.ports, Nexus: d.nexus, Journal: d.ledger, Propolis: dial(cfg.Propolis),
		Limits: d.limits, Prefix: cfg.Zones.Prefix, KeepOrphans: cfg.Zones.Orphans.Keep(d.backend), Sled: d.identity.metadata,
		Watch:    propolis.WatchOptions{Heartbeat: heartbeat, PollBudget: heartbeat, GoneAfter: cfg.Propolis.GoneAfter},
		Evidence: cfg.Watchdog.EvidenceBudget, Collector: d.evidence, Bundle: d.bundles.Add,
		Disposition: openDisposition(cfg.StateDir, log), Log: log,
		Event: func(id uuid.UUID, e vmm.Event) { d.events.Publish(admin.NamedEvent{VMM: id, Event: e}) },
	})
	if err := d.openAccess(); err != nil {
		return err
	}
	apiConns, adminConns := connections(d.files)
	d.api = api.New(front{d.agent, d}, api.Options{Log: log, Conns: apiConns, Bundles: d.bundles, Zoneadm: d.zones.zoneadm,
		TLS: d.apiTLS(), Clients: d.roles})
	d.admin = admin.New(front{d.agent, d}, admin.Options{Log: log, Conns: adminConns, Groups: d.groups, Sled: d.api.Handler(), Process: d, PropolisVersion: cfg.Propolis.APIVersion, ServeMetrics: d.serveMetrics(),
		Collectors: slices.Concat(collectors(d.agent, d.nexus, d.zones, d.bundles, d.evidence, d.log, d.troubles),
			nexusCollectors(d.nexus, d.resolver), d.api.Collectors())})
	return nil
}

// openEvidence opens the store of what is collected before zones are removed by force.
func openEvidence(cfg *config.Config, z *zones, log zerolog.Logger) *evidence.Store {
	inspector, _ := z.Manager.(zone.Inspector)
	return evidence.Open(evidence.Options{Dir: filepath.Join(cfg.StateDir, "evidence"), Commands: cfg.Evidence.Commands,
		MaxSize: int64(cfg.Evidence.MaxSize), Keep: cfg.Evidence.Keep, Zones: inspector, Log: log})
}

// openDisposition reads whether this sled takes new VMMs. What cannot be read is logged
// and shown, and until it was replaced the sled takes none.
func openDisposition(dir string, log zerolog.Logger) *disposition.Store {
	store := disposition.Open(dir, bootclock.Host())
	for _, trouble := range store.State().Troubles() {
		log.Error().Str("trouble", trouble).Msg("failed to read the sled's disposition")
	}
	return store
}

func (d *daemon) reservoir() bhyve.Size {
	if size := d.cfg.VMMReservoir.Size; size != 0 {
		return bhyve.Size{Bytes: size}
	}
	return bhyve.Size{Percent: d.cfg.VMMReservoir.Percent}
}

// dial returns a function that makes clients for Propolis servers.
func dial(cfg config.Propolis) func(netip.AddrPort) runner.Propolis {
	return func(addr netip.AddrPort) runner.Propolis {
		return propolis.NewClient(addr, propolis.Options{APIVersion: cfg.APIVersion, RequestTimeout: cfg.RequestTimeout})
	}
}

// listen starts the servers. It returns the outcomes of the first attempts, also of the
// one to learn the id.
func (d *daemon) listen() []*outcome {
	identified := newOutcome()
	d.endpoints.Go(func() { d.troubles.retry(d.listening, idFile, identified, d.identity.learn) })
	keep := func(key string, listen func() (net.Listener, error), serve func(net.Listener) error, serving func(net.Addr)) *outcome {
		d.endpoints.Add(1)
		return endpoint{key, listen, serve, serving}.keep(d.listening, d.troubles, d.endpoints.Done)
	}
	local := func(net.Addr) {}
	first := []*outcome{identified, d.loadNexusCerts(),
		keep("admin.socket", d.listenAdmin, d.admin.Serve, local)}
	if at := d.cfg.Admin.Metrics; at != "" {
		first = append(first, keep("admin.metrics", func() (net.Listener, error) { return d.listenMetrics(at) }, d.admin.ServeMetrics, local))
	}
	others := slices.Clone(first)
	return append(first, keep("api.listen", d.listenAPI,
		d.api.Serve, func(addr net.Addr) { d.serving(addr, others) }))
}

// serving stores the address of the sled API. It logs the address once the other
// servers listen or have failed to, so that clients can then use any of them.
func (d *daemon) serving(addr net.Addr, others []*outcome) {
	d.addr.Store(&addr)
	go func() {
		_ = wait(d.listening, others, time.After(firstTries)) // failures are logged by endpoint
		about := front{d.agent, d}.About()
		d.log.Info().Str("addr", addr.String()).Str("admin", d.cfg.Admin.Socket).Str("version", version).
			Str("sled", about.SledID).Str("backend", about.Backend).Str("isolation", about.Isolation).
			Strs("nexus", about.Nexus).Msg("serving")
	}()
}

// ready tells systemd that the agent is ready.
func (d *daemon) ready() { d.notifier.say("READY=1") }

// close ends everything within exitBudget. A part is ended before the parts that it
// uses. A part that does not end in time is abandoned.
func (d *daemon) close() {
	ctx, cancel := context.WithTimeout(context.Background(), exitBudget)
	defer cancel()
	d.notifier.stopping()
	var errs []error
	end := func(what string, share time.Duration, f func(context.Context) error) {
		errs = append(errs, within(ctx, what, share, f))
	}
	if d.agent != nil {
		d.log.Info().Int("vmms", d.agent.VMMs()).Msg("exiting; VMs keep running")
		d.agent.Drain()
		d.silence()
		end("end the servers", exitBudget/2, d.shutServers)
		end("end the agent", exitBudget/4, d.agent.Close)
		end("end publishing", exitBudget/8, d.nexus.Close)
		end("write zone bundles", exitBudget/8, d.bundles.Close)
		end("end collecting evidence", exitBudget/8, d.evidence.Close)
	}
	if d.zones != nil {
		end("close the zones", exitBudget/8, func(context.Context) error { return d.zones.close() })
	}
	if d.ledger != nil {
		end("close the ledger", exitBudget, d.ledger.Close)
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Warn().Err(err).Msg("not everything has ended in time")
	}
	// The lock of the state directory ends with the process, which may still be
	// writing there.
}

// within calls f and waits for it, at most for a share of the time even if f ignores
// its context.
func within(ctx context.Context, what string, share time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // f may have returned because ctx ended
	case err := <-done:
		return err
	case <-time.After(lastMoment):
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

// lastMoment is the time for f to return after its context has ended.
const lastMoment = 50 * time.Millisecond

// shutServers ends the servers after their pending requests.
func (d *daemon) shutServers(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return d.api.Shutdown(ctx) })
	group.Go(func() error { return d.admin.Shutdown(ctx) })
	err := group.Wait()
	d.endpoints.Wait()
	return err
}
