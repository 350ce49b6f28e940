package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
)

// exitBudget is how long the agent may take to exit: the contract's 5 seconds
// less a reserve.
const exitBudget = 4 * time.Second

// heartbeat is how often a silent Propolis is asked for a sign of life, and how
// long it has for that: one that hangs is shown as silent within twice that.
const heartbeat = 5 * time.Second

// run runs the agent until a signal ends it.
func run(cfg *config.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log, flush, err := newLog(cfg.Log, os.Stderr)
	if err != nil {
		return err
	}
	defer flush()
	d, err := start(cfg, log)
	if err != nil {
		return err
	}
	return d.serve(ctx)
}

// daemon is everything that runs, in the order in which it is ended.
type daemon struct {
	log       zerolog.Logger
	api       *api.Server
	apiAddr   net.Listener
	admin     *admin.Server
	socket    net.Listener
	metrics   net.Listener // nil if there is none
	agent     *agent.Agent
	publisher *publish.Publisher
	zones     *zones
	ledger    *ledger.Ledger
	unlock    func() error
	limits    vmm.Limits
	reservoir bhyve.Size
}

// start opens everything and serves nothing yet.
func start(cfg *config.Config, log zerolog.Logger) (*daemon, error) {
	d := &daemon{log: log}
	if err := d.open(cfg); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// open opens one thing after the other; whatever is open when one fails is close's.
func (d *daemon) open(cfg *config.Config) error {
	if err := d.openState(cfg); err != nil {
		return err
	}
	sled, err := identify(cfg.StateDir, cfg.SledID)
	if err != nil {
		return err
	}
	if err := d.listen(cfg); err != nil {
		return err
	}
	return d.assemble(cfg, sled)
}

// openState takes the state directory and opens the ledger in it.
func (d *daemon) openState(cfg *config.Config) (err error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if d.unlock, err = ledger.Lock(cfg.StateDir); err != nil {
		return err
	}
	d.ledger, err = ledger.Open(filepath.Join(cfg.StateDir, ledger.FileName), ledger.Options{Log: d.log})
	return err
}

func (d *daemon) listen(cfg *config.Config) (err error) {
	if d.apiAddr, err = net.Listen("tcp", cfg.API.Listen.String()); err != nil {
		return fmt.Errorf("api.listen: %w", err)
	}
	if d.socket, err = admin.Listen(cfg.Admin.Socket); err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	if cfg.Admin.Metrics == "" {
		return nil
	}
	if d.metrics, err = net.Listen("tcp", cfg.Admin.Metrics); err != nil {
		return fmt.Errorf("admin.metrics: %w", err)
	}
	return nil
}

// assemble puts the agent together.
func (d *daemon) assemble(cfg *config.Config, sled api.Identifiers) (err error) {
	name := cfg.Zones.Backend.On(runtime.GOOS)
	if d.zones, err = openZones(cfg, name, d.log); err != nil {
		return err
	}
	d.publisher = publish.New(publish.Config{Addresses: cfg.Nexus.Addresses, RequestTimeout: cfg.Nexus.RequestTimeout,
		RetryInitial: cfg.Nexus.RetryInitial, RetryMax: cfg.Nexus.RetryMax, GiveUpAfter: cfg.Nexus.GiveUpAfter, Log: d.log})
	d.limits = vmm.Limits{StopGrace: cfg.Watchdog.StopGrace, MaxStopGrace: cfg.Watchdog.MaxStopGrace,
		StartTimeout: cfg.Watchdog.StartTimeout, RebootTimeout: cfg.Watchdog.RebootTimeout}
	d.agent = agent.New(agent.Config{
		Zones: d.zones.Manager, Publisher: d.publisher, Journal: d.ledger, Propolis: dial(cfg.Propolis),
		Limits: d.limits, Prefix: cfg.Zones.Prefix, KeepOrphans: cfg.Zones.Orphans.Keep(name), Sled: sled,
		Watch:    propolis.WatchOptions{Heartbeat: heartbeat, PollBudget: heartbeat, GoneAfter: cfg.Propolis.GoneAfter},
		Evidence: cfg.Watchdog.EvidenceBudget, Log: d.log,
		About: admin.About{Version: version, SledID: sled.SledID.String(), API: "http://" + d.apiAddr.Addr().String(),
			Backend: string(name), Isolation: d.zones.isolation, PID: os.Getpid(), Nexus: cfg.Nexus.Addresses},
	})
	d.reservoir = bhyve.Size{Percent: cfg.VMMReservoir.Percent}
	if cfg.VMMReservoir.Size != 0 {
		d.reservoir = bhyve.Size{Bytes: cfg.VMMReservoir.Size}
	}
	d.api = api.New(d.agent, api.Options{Log: d.log})
	d.admin = admin.New(d.agent, admin.Options{Log: d.log, Collectors: collectors(d.agent, d.publisher, d.zones)})
	return nil
}

// dial returns clients for Propolis servers.
func dial(cfg config.Propolis) func(netip.AddrPort) runner.Propolis {
	return func(addr netip.AddrPort) runner.Propolis {
		return propolis.NewClient(addr, propolis.Options{APIVersion: cfg.APIVersion, RequestTimeout: cfg.RequestTimeout})
	}
}

// serve serves until ctx ends or a listener breaks, and then ends everything.
func (d *daemon) serve(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	group.Go(func() error { return named("serve the sled API", d.api.Serve(d.apiAddr)) })
	group.Go(func() error { return named("serve the admin API", d.admin.Serve(d.socket)) })
	if d.metrics != nil {
		group.Go(func() error { return named("serve metrics", d.admin.ServeMetrics(d.metrics)) })
	}
	about := d.agent.About()
	d.log.Info().Str("addr", d.apiAddr.Addr().String()).Str("admin", d.socket.Addr().String()).Str("version", version).
		Str("sled", about.SledID).Str("backend", about.Backend).Str("isolation", about.Isolation).
		Strs("nexus", about.Nexus).Msg("serving")
	err := d.adopt()
	if err == nil {
		sizeReservoir(failed, d.zones.bhyve, d.reservoir, d.log)
		d.tellSystemd()
		<-failed.Done()
	}
	d.log.Info().Int("vmms", d.agent.About().VMMs).Msg("exiting; VMs keep running")
	d.close()
	return errors.Join(err, group.Wait())
}

// adopt takes over what the ledger holds. The API answers that the agent is
// loading until then.
func (d *daemon) adopt() error {
	begun := time.Now()
	all, err := d.ledger.Load(d.limits)
	if err != nil {
		return err
	}
	d.agent.Adopt(all)
	d.log.Info().Int("vmms", len(all)).Dur("took_ms", time.Since(begun)).Msg("ledger loaded")
	return nil
}

// tellSystemd says that the agent is ready, and goes on saying that it is well
// if systemd wants to hear it.
func (d *daemon) tellSystemd() {
	if err := notify("READY=1"); err != nil {
		d.log.Warn().Err(err).Msg("systemd was not told that the agent is ready")
	}
	if every, ok := watchdogPeriod(); ok {
		d.agent.Heartbeat(every, func() {
			if err := notify("WATCHDOG=1"); err != nil {
				d.log.Warn().Err(err).Msg("systemd was not told that the agent is well")
			}
		})
	}
}

func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// close ends what was started, within exitBudget and in an order in which
// nobody is called who has ended.
func (d *daemon) close() {
	ctx, cancel := context.WithTimeout(context.Background(), exitBudget)
	defer cancel()
	_ = notify("STOPPING=1") // systemd sees the exit all the same
	var errs []error
	if d.agent != nil {
		d.agent.Drain()
		errs = append(errs, d.shutServers(ctx), d.agent.Close(ctx), d.publisher.Close(ctx))
	} else {
		for _, l := range []net.Listener{d.apiAddr, d.socket, d.metrics} {
			if l != nil {
				errs = append(errs, l.Close())
			}
		}
	}
	if d.zones != nil {
		errs = append(errs, d.zones.close())
	}
	if d.ledger != nil {
		errs = append(errs, d.ledger.Close(ctx))
	}
	if d.unlock != nil {
		errs = append(errs, d.unlock())
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Warn().Err(err).Msg("not everything has ended in time")
	}
}

// shutServers lets requests finish for half of the time that is left.
func (d *daemon) shutServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exitBudget/2)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return d.api.Shutdown(ctx) })
	group.Go(func() error { return d.admin.Shutdown(ctx) })
	return group.Wait()
}
