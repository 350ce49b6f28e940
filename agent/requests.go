package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// Register adds a VMM and returns its record once that is durable. A VMM that exists and
// belongs to the same instance is unchanged.
func (a *Agent) Register(ctx context.Context, id uuid.UUID, reg *vmm.Registration) (vmm.Record, error) {
	if err := a.identified(); err != nil {
		return vmm.Record{}, err
	}
	if err := reg.Network.Check(); err != nil {
		return vmm.Record{}, err
	}
	r, err := a.admit(id, reg)
	if err != nil {
		return vmm.Record{}, err
	}
	if have := r.Identity().InstanceID; have != reg.InstanceID {
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Conflict,
			Detail: fmt.Sprintf("instance_id: VMM %s is registered for instance %s, not %s", id, have, reg.InstanceID)}
	}
	select {
	case <-r.Ready():
	case <-r.Ended():
		if err := r.Refused(); err != nil {
			return vmm.Record{}, err
		}
	case <-ctx.Done():
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.TimedOut, Detail: "the registration is not durable yet"}
	}
	if _, phase, _ := r.State(); phase >= vmm.Ended {
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Terminating, Detail: "a VMM of this id has ended here"}
	}
	if was := r.Identity().PropolisAddr; was != reg.PropolisAddr {
		a.cfg.Log.Warn().Stringer("vmm", id).Stringer("addr", was).Stringer("ignored", reg.PropolisAddr).
			Msg("registered again with another propolis_addr, which is ignored")
	}
	record, _, _ := r.State()
	return record, nil
}

// Unregister hands a VMM's state over to Nexus and removes its zone. It returns after the
// removal, or after unregisterBudget with the state at that time.
func (a *Agent) Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error) {
	r, err := a.find(id)
	if vmm.Refused(err, vmm.Unknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, unregisterBudget)
	defer cancel()
	record, err := r.Do(ctx, vmm.Unregister{})
	switch {
	case err == nil:
		return &record, nil
	case vmm.Refused(err, vmm.Unknown):
		return nil, nil
	case vmm.Refused(err, vmm.TimedOut):
		if record, _, ok := r.State(); ok {
			return &record, nil
		}
	}
	return nil, err
}

// Run begins to start a VMM.
func (a *Agent) Run(ctx context.Context, id uuid.UUID) error {
	return a.start(ctx, id, vmm.Start{})
}

// MigrateIn begins to start a VMM as the target of a migration.
func (a *Agent) MigrateIn(ctx context.Context, id uuid.UUID, src netip.AddrPort) error {
	return a.start(ctx, id, vmm.MigrateIn{Src: src.String()})
}

func (a *Agent) start(ctx context.Context, id uuid.UUID, in vmm.Input) error {
	if err := a.identified(); err != nil {
		return err
	}
	if err := a.evacuating(); err != nil && a.unstarted(id) {
		return err
	}
	_, err := a.begin(ctx, id, in)
	return err
}

// identified returns an error while the sled's id is unknown, in which case no VMM begins.
func (a *Agent) identified() error {
	if a.cfg.Sled().SledID == uuid.Nil {
		return &vmm.Refusal{Reason: vmm.Loading, Detail: "the sled's id is not known yet"}
	}
	return nil
}

// Stop accepts a stop of a VMM, whose guest has soft to power off.
func (a *Agent) Stop(ctx context.Context, id uuid.UUID, grace *time.Duration, soft time.Duration) (vmm.Record, error) {
	return a.do(ctx, id, vmm.Stop{By: caller.Of(ctx, vmm.ByNexus), Grace: grace, Soft: soft})
}

// Reboot requests a reboot from a VMM's Propolis, before which the guest has soft to shut
// down.
func (a *Agent) Reboot(ctx context.Context, id uuid.UUID, soft time.Duration) (vmm.Record, error) {
	return a.begin(ctx, id, vmm.Reboot{Soft: soft})
}

// begin is do for requests that begin something, which a draining agent refuses.
func (a *Agent) begin(ctx context.Context, id uuid.UUID, in vmm.Input) (vmm.Record, error) {
	if a.draining.Load() {
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Draining}
	}
	return a.do(ctx, id, in)
}

func (a *Agent) do(ctx context.Context, id uuid.UUID, in vmm.Input) (vmm.Record, error) {
	r, err := a.find(id)
	if err != nil {
		return vmm.Record{}, err
	}
	return r.Do(ctx, in)
}

// State returns a VMM's record from memory.
func (a *Agent) State(id uuid.UUID) (vmm.Record, error) {
	r, err := a.find(id)
	if err != nil {
		return vmm.Record{}, err
	}
	record, phase, ok := r.State()
	switch {
	case !ok:
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Loading, Detail: "the registration is not durable yet"}
	case phase == vmm.Forgotten:
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Unknown, Detail: id.String()}
	}
	return record, nil
}

// Snapshot requests a snapshot of a disk from a VMM's Propolis.
func (a *Agent) Snapshot(ctx context.Context, id uuid.UUID, disk string, snapshot uuid.UUID) error {
	r, err := a.find(id)
	if err != nil {
		return err
	}
	return r.Snapshot(ctx, disk, snapshot)
}

// Slept moves every deadline forward by the time for which the host was suspended, since
// the promised deadlines include that time.
func (a *Agent) Slept(d time.Duration) {
	for _, r := range a.all() {
		r.Slept(d)
	}
}

// Zones lists the running zones of this sled, sorted.
func (a *Agent) Zones(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, listBudget)
	defer cancel()
	zones, err := a.cfg.Zones.List(ctx)
	if err != nil && !errors.Is(err, zone.ErrPartial) {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	return running(zones), nil
}
