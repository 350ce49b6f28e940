package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// Register makes a VMM known and returns its record once that is durable. A VMM
// that is known already is left as it is, if it belongs to the same instance.
func (a *Agent) Register(ctx context.Context, id uuid.UUID, reg *wire.Registration) (vmm.Record, error) {
	r, err := a.admit(id, reg)
	if err != nil {
		return vmm.Record{}, err
	}
	if have := r.Instance(); have != reg.InstanceID {
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.Conflict,
			Detail: fmt.Sprintf("instance_id: VMM %s is registered for instance %s, not %s", id, have, reg.InstanceID)}
	}
	select {
	case <-r.Ready():
	case <-r.Ended():
	case <-ctx.Done():
		return vmm.Record{}, &vmm.Refusal{Reason: vmm.TimedOut, Detail: "the registration is not durable yet"}
	}
	if was := r.Registration(); was != reg && (was.PropolisAddr != reg.PropolisAddr || string(was.Spec) != string(reg.Spec)) {
		a.cfg.Log.Warn().Stringer("vmm", id).Msg("registered again with another address or spec, which is ignored")
	}
	record, _, _ := r.State()
	return record, nil
}

// Unregister gives a VMM's state to Nexus and removes its zone. It answers when
// the zone is gone, or with the state as it is then when that takes long.
func (a *Agent) Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error) {
	r, err := a.find(id)
	var unknown *vmm.Refusal
	if errors.As(err, &unknown) && unknown.Reason == vmm.Unknown {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, unregisterBudget)
	defer cancel()
	record, err := r.Do(ctx, vmm.Unregister{})
	var refusal *vmm.Refusal
	switch {
	case err == nil:
		return &record, nil
	case errors.As(err, &refusal) && refusal.Reason == vmm.Unknown:
		return nil, nil
	case errors.As(err, &refusal) && refusal.Reason == vmm.TimedOut:
		if record, _, ok := r.State(); ok {
			return &record, nil
		}
	}
	return nil, err
}

// Run begins to start a VMM.
func (a *Agent) Run(ctx context.Context, id uuid.UUID) error {
	_, err := a.begin(ctx, id, vmm.Start{})
	return err
}

// MigrateIn begins to start a VMM out of another one.
func (a *Agent) MigrateIn(ctx context.Context, id uuid.UUID, src netip.AddrPort) error {
	_, err := a.begin(ctx, id, vmm.MigrateIn{Src: src.String()})
	return err
}

// Stop accepts that a VMM is to stop.
func (a *Agent) Stop(ctx context.Context, id uuid.UUID, grace *time.Duration) (vmm.Record, error) {
	return a.do(ctx, id, vmm.Stop{By: vmm.ByNexus, Grace: grace})
}

// Reboot asks a VMM's Propolis to reboot it.
func (a *Agent) Reboot(ctx context.Context, id uuid.UUID) (vmm.Record, error) {
	return a.begin(ctx, id, vmm.Reboot{})
}

// begin is do for what begins something, which a draining agent does not.
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

// State reads a VMM's record from memory.
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

// Snapshot has a VMM's Propolis make a snapshot of a disk.
func (a *Agent) Snapshot(ctx context.Context, id uuid.UUID, disk string, snapshot uuid.UUID) error {
	r, err := a.find(id)
	if err != nil {
		return err
	}
	return r.Snapshot(ctx, disk, snapshot)
}

// Zones names the running zones of this sled, sorted.
func (a *Agent) Zones(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, listBudget)
	defer cancel()
	zones, err := a.cfg.Zones.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	return running(zones), nil
}

// Identifiers says which sled this is.
func (a *Agent) Identifiers() api.Identifiers { return a.cfg.Sled }
