package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
	"github.com/sledagent/sledagent/zone/illumos/kstat"
	"github.com/sledagent/sledagent/zone/illumos/kstat/procstat"
	"github.com/sledagent/sledagent/zone/process"
)

// vmmDir is where the vmm driver lists VMs.
const vmmDir = "/dev/vmm"

// zones is a backend as the daemon uses it.
type zones struct {
	zone.Manager
	// isolation says how well it keeps zones apart.
	isolation string
	// stats samples what the zones use.
	stats kstat.Source
	// bhyve is the host's hypervisor; nil where zones have none.
	bhyve *bhyve.Host
	// leftBehind counts the host's commands that have outlived their budgets; nil
	// where zones are not made by commands.
	leftBehind func() int
	close      func() error
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
	m, err := process.New(process.Config{Dir: filepath.Join(cfg.StateDir, "zones"), Prefix: cfg.Zones.Prefix,
		Argv: cfg.Zones.Process.Propolis, Log: log})
	if err != nil {
		return nil, err
	}
	return &zones{Manager: m, isolation: m.Isolation(), stats: procstat.New(m.List), close: m.Close}, nil
}

func openIllumos(cfg *config.Config, log zerolog.Logger) (*zones, error) {
	c := cfg.Zones.Illumos
	vm := bhyve.New(c.VMMCtl, vmmDir, "")
	m, err := illumos.New(illumos.Config{CommandPath: c.CommandPath, ZoneRoot: c.ZoneRoot, Brand: c.Brand, Image: c.Image,
		Link: c.Link, Service: c.Service, Gateway: c.Gateway, Prefix: cfg.Zones.Prefix, Log: log, VM: vm})
	if err != nil {
		return nil, err
	}
	return &zones{Manager: m, isolation: "zones of the kernel", stats: kstat.New(kstat.In(c.CommandPath)),
		bhyve: vm, leftBehind: m.LeftBehind, close: m.Close}, nil
}

// sizeReservoir brings the reservoir that guests' memory comes from to the size
// that is configured. It returns at once: growing takes minutes, and neither
// starts nor stops wait for it.
func sizeReservoir(ctx context.Context, host *bhyve.Host, want bhyve.Size, log zerolog.Logger) {
	if host == nil || want == (bhyve.Size{}) {
		return
	}
	physical, err := bhyve.PhysicalMemory()
	if err != nil {
		log.Error().Err(err).Msg("the reservoir cannot be sized")
		return
	}
	target, err := want.Target(physical)
	if err != nil {
		log.Error().Err(err).Msg("the reservoir cannot be sized")
		return
	}
	done := host.Resize(ctx, target, func(p bhyve.Progress) {
		log.Info().Uint64("bytes", p.Size).Uint64("target", p.Target).Msg("reservoir is being sized")
	})
	go func() {
		if err := <-done; err != nil {
			log.Error().Err(err).Uint64("target", target).Msg("the reservoir is not of the size that is configured")
		}
	}()
}
