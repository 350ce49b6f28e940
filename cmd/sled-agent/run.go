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
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process"
)

// exitBudget is how long the agent may take to exit: the contract's 5 seconds
// less a reserve.
const exitBudget = 4 * time.Second

// run runs the agent until a signal ends it.
func run(cfg *config.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log, err := newLog(cfg.Log, os.Stderr)
	if err != nil {
		return err
	}
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
	zones     backend
}

// backend is a zone.Manager with an end.
type backend interface {
	zone.Manager
	Close() error
}

// start opens everything and serves nothing yet.
func start(cfg *config.Config, log zerolog.Logger) (d *daemon, err error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	sled, err := identify(cfg.StateDir, cfg.SledID)
	if err != nil {
		return nil, err
	}
	d = &daemon{log: log}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.apiAddr, err = net.Listen("tcp", cfg.API.Listen.String()); err != nil {
		return nil, fmt.Errorf("api.listen: %w", err)
	}
	if d.socket, err = admin.Listen(cfg.Admin.Socket); err != nil {
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	if cfg.Admin.Metrics != "" {
		if d.metrics, err = net.Listen("tcp", cfg.Admin.Metrics); err != nil {
			return nil, fmt.Errorf("admin.metrics: %w", err)
		}
	}
	name := cfg.Zones.Backend.On(runtime.GOOS)
	isolation := ""
	if d.zones, isolation, err = openZones(cfg, name, log); err != nil {
		return nil, err
	}
	d.publisher = publish.New(publish.Config{Addresses: cfg.Nexus.Addresses, RequestTimeout: cfg.Nexus.RequestTimeout,
		RetryInitial: cfg.Nexus.RetryInitial, RetryMax: cfg.Nexus.RetryMax, GiveUpAfter: cfg.Nexus.GiveUpAfter, Log: log})
	d.agent = agent.New(agent.Config{
		Zones: d.zones, Publisher: d.publisher, Propolis: dial(cfg.Propolis), Prefix: cfg.Zones.Prefix,
		Limits: vmm.Limits{StopGrace: cfg.Watchdog.StopGrace, MaxStopGrace: cfg.Watchdog.MaxStopGrace,
			StartTimeout: cfg.Watchdog.StartTimeout, RebootTimeout: cfg.Watchdog.RebootTimeout},
		Sled: sled, Watch: propolis.WatchOptions{GoneAfter: cfg.Propolis.GoneAfter},
		Evidence: cfg.Watchdog.EvidenceBudget, Log: log,
		About: admin.About{Version: version, SledID: sled.SledID.String(), API: "http://" + d.apiAddr.Addr().String(),
			Backend: string(name), Isolation: isolation, PID: os.Getpid(), Nexus: cfg.Nexus.Addresses},
	})
	d.api = api.New(d.agent, api.Options{Log: log})
	d.admin = admin.New(d.agent, admin.Options{Log: log, Collectors: collectors(d.agent, d.publisher)})
	return d, nil
}

// dial returns clients for Propolis servers.
func dial(cfg config.Propolis) func(netip.AddrPort) runner.Propolis {
	return func(addr netip.AddrPort) runner.Propolis {
		return propolis.NewClient(addr, propolis.Options{APIVersion: cfg.APIVersion, RequestTimeout: cfg.RequestTimeout})
	}
}

// openZones opens the backend and says how well it keeps zones apart.
func openZones(cfg *config.Config, name config.Backend, log zerolog.Logger) (backend, string, error) {
	if name != config.BackendProcess {
		return nil, "", fmt.Errorf("zones.backend: %q is not part of this version; use %q", name, config.BackendProcess)
	}
	m, err := process.New(process.Config{Dir: filepath.Join(cfg.StateDir, "zones"), Prefix: cfg.Zones.Prefix,
		Argv: cfg.Zones.Process.Propolis, Log: log})
	if err != nil {
		return nil, "", fmt.Errorf("zones.backend %s: %w", name, err)
	}
	return m, m.Isolation(), nil
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
	if err := notify("READY=1"); err != nil {
		d.log.Warn().Err(err).Msg("systemd was not told that the agent is ready")
	}
	<-failed.Done()
	d.log.Info().Int("vmms", about.VMMs).Msg("exiting; VMs keep running")
	d.close()
	return group.Wait()
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
		errs = append(errs, d.zones.Close())
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
