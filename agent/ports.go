package agent

import (
	"context"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// SetNetwork changes a VMM's external addresses, multicast groups or attached subnets.
func (a *Agent) SetNetwork(ctx context.Context, id uuid.UUID, change vmm.NetworkChange) error {
	r, err := a.find(id)
	if err != nil {
		return err
	}
	return r.SetNetwork(ctx, change)
}

// PortsFailed returns how many tries to set up a guest's port have failed.
func (a *Agent) PortsFailed() int64 { return a.portsFailed.Load() }
