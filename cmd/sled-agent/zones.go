package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
	"github.com/sledagent/sledagent/zone/process"
	"github.com/sledagent/sledagent/zone/stats"
)

// vmmDir is where the vmm driver lists VMs.
const vmmDir = "/dev/vmm"

// zones is a backend with what else the daemon needs from it.
type zones struct {
	zone.Manager
	// isolation describes how well the backend isolates zones.
	isolation string
	// stats samples the zones' resource usage.
	stats stats.Source
	// ports sets up guests' ports; nil if their networking is only recorded.
	ports zone.Ports
	// bhyve is the host's hypervisor; nil where zones have none.
	bhyve *bhyve.Host
	// leftBehind counts the host's commands that still run after their budget; nil if
	// the backend runs no commands.
	leftBehind func() int
	// zoneadm lists the zones for people.
	zoneadm func(context.Context) api.ZoneadmInfo
	close   func() error
}

// openZones opens the backend of that name.
func openZones(cfg *config.Config, name config.Backend, log zerolog.Logger) (z *zones, err error) {
	if name == config.BackendIllumos {
		z, err = openIllumos(cfg, log)
	} else {
		z, err = openProcess(cfg, log)
	}
	if err != nil {
		return nil, fmt.Errorf("zones.backend %s: %w", name, err)
	}
	return z, nil
}

func openProcess(cfg *config.Config, log zerolog.Logger) (*zones, error) {
	m, err := process.New(process.Config{Dir: filepath.Join(cfg.StateDir, "zones"), Prefix: cfg.Zones.Prefix, MaxTasks: cfg.Zones.MaxTasks,
		Argv: cfg.Zones.Process.Propolis, Log: log})
	if err != nil {
		return nil, err
	}
	return &zones{Manager: m, isolation: m.Isolation(), stats: m, zoneadm: likeZoneadm(m), close: m.Close}, nil
}

// newIllumos makes a manager of zones of illumos with the host's hypervisor.
func newIllumos(cfg *config.Config, log zerolog.Logger) (*illumos.Manager, *bhyve.Host, error) {
	c := cfg.Zones.Illumos
	vm := bhyve.New(c.VMMCtl, vmmDir, "")
	m, err := illumos.New(illumos.Config{CommandPath: c.CommandPath, ZoneRoot: c.ZoneRoot, Brand: c.Brand, Image: c.Image,
		Link: c.Link, Service: c.Service, Gateway: c.Gateway, Prefix: cfg.Zones.Prefix,
		MaxTasks: cfg.Zones.MaxTasks, Log: log, VM: vm})
	return m, vm, err
}

func openIllumos(cfg *config.Config, log zerolog.Logger) (*zones, error) {
	m, vm, err := newIllumos(cfg, log)
	if err != nil {
		return nil, err
	}
	m.WarnOfHost()
	return &zones{Manager: m, isolation: "zones of the kernel", stats: m,
		ports: m.OPTE(), bhyve: vm, leftBehind: m.LeftBehind, zoneadm: askZoneadm(m), close: m.Close}, nil
}

// sizeReservoir brings the reservoir of guest memory to the configured size. It
// returns at once: growing takes minutes, and neither starts nor stops wait for it.
func sizeReservoir(ctx context.Context, host *bhyve.Host, want bhyve.Size, log zerolog.Logger) {
	if host == nil || want == (bhyve.Size{}) {
		return
	}
	physical, err := bhyve.PhysicalMemory()
	if err != nil {
		log.Error().Err(err).Msg("failed to size the reservoir")
		return
	}
	target, err := want.Target(physical)
	if err != nil {
		log.Error().Err(err).Msg("failed to size the reservoir")
		return
	}
	done := host.Resize(ctx, target, func(p bhyve.Progress) {
		log.Info().Uint64("bytes", p.Size).Uint64("target", p.Target).Msg("reservoir is being sized")
	})
	go func() {
		if err := <-done; err != nil {
			log.Error().Err(err).Uint64("target", target).Msg("reservoir does not have the configured size")
		}
	}()
}
