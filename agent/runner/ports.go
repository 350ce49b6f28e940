package runner

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bounded"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/zone"
)

const (
	// applyBudget is for one try to set up the port. A start and the callers of a change
	// wait that long for the first one.
	applyBudget = 5 * time.Second
	// releaseFor is how long a removal retries to release the port. What the host still
	// holds then has neither a zone nor a datalink.
	releaseFor = 10 * time.Second
)

// SetNetwork changes the VMM's networking and returns when that is durable and was
// applied, or has failed to be once; it is tried again then.
func (r *Runner) SetNetwork(ctx context.Context, change vmm.NetworkChange) error {
	in := vmm.SetNetwork{Change: change}
	if v := r.view.Load(); v != nil && v.state.Ports == nil && v.state.Phase < vmm.Stopping {
		reg, err := r.registration(ctx)
		if err != nil {
			return &vmm.Refusal{Reason: vmm.Unreadable, Detail: clean(err.Error())}
		}
		in.Registered = vmm.NewPorts(reg)
	}
	_, err := r.Do(ctx, in)
	return err
}

// applyEffect sets up the port until that succeeds. A VM whose port cannot be set up is
// started all the same, and runs without what its guest cannot need to boot: an error of
// the host's must not end it. The reference fails such a start.
func (r *Runner) applyEffect(e vmm.Apply) effect {
	port := r.port()
	tried := make(chan struct{})
	once := sync.OnceFunc(func() { close(tried) })
	r.portTried = tried
	return effect{name: "ports", run: func(ctx context.Context, tell func(report)) {
		defer once()
		again := newPause(time.Second, time.Minute)
		for {
			err := r.callPorts(ctx, "set up the port", func(ctx context.Context, p zone.Ports) error { return p.Apply(ctx, port) })
			failpoint.Here("ports/applied")
			if ctx.Err() != nil {
				return
			}
			in := vmm.Applied{N: e.N}
			if err != nil {
				in.Why = err.Error()
				r.host.PortsFailed.Add(1)
			}
			tell(report{in: in})
			once()
			if err == nil || !pause(ctx, again.NextBackOff()) {
				return
			}
		}
	}}
}

// awaitPort waits for the first try to set up the port, if there is one.
func awaitPort(ctx context.Context, tried <-chan struct{}) {
	if tried == nil {
		return
	}
	timer := time.NewTimer(applyBudget)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// callPorts makes one call within applyBudget. At most one is under way: a call that
// ignores its context would otherwise be overtaken by a newer one and then undo it.
func (r *Runner) callPorts(ctx context.Context, what string, do func(context.Context, zone.Ports) error) error {
	if r.host.Ports == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyBudget)
	defer cancel()
	select {
	case r.portCall <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: an earlier call is still under way: %w", what, context.Cause(ctx))
	}
	late, err := bounded.Do(ctx, func() error {
		defer func() { <-r.portCall }()
		return do(ctx, r.host.Ports)
	})
	if late {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// port describes the VMM's port as it was made visible last.
func (r *Runner) port() zone.Port {
	p := zone.Port{Zone: r.zone}
	v := r.view.Load()
	if v == nil || v.state.Ports == nil {
		return p
	}
	n := v.state.Ports.Network
	p.Link = v.zone.Links[v.state.Ports.NIC.String()]
	p.Ephemeral, p.Floating, p.Detached = n.External.Ephemeral, n.External.Floating, v.state.Ports.Detached
	for _, s := range n.External.SourceNAT {
		p.SourceNAT = append(p.SourceNAT, zone.SourceNAT(s))
	}
	for _, g := range n.Groups {
		p.Groups = append(p.Groups, g.IP)
	}
	for _, s := range n.Subnets {
		p.Subnets = append(p.Subnets, zone.AttachedSubnet{Net: s.Net, External: s.Kind == "external"})
	}
	return p
}

// removalZones is the host's Manager for the VMM's removal: the rung that frees the
// zone's other resources releases the port, too.
func (r *Runner) removalZones() zone.Manager {
	v := r.view.Load()
	if r.host.Ports == nil || v == nil || v.state.Ports == nil || v.state.Ports.NIC == uuid.Nil {
		return r.host.Zones
	}
	return &releasing{Manager: r.host.Zones, r: r, port: r.port()}
}

type releasing struct {
	zone.Manager
	r    *Runner
	port zone.Port
	// begun is when the first try to release began. A try that hangs may be under way
	// beside the next one.
	begun atomic.Pointer[time.Time]
	done  atomic.Bool
}

// Remove implements zone.Manager.
func (m *releasing) Remove(ctx context.Context, rung zone.Rung, name string) error {
	if err := m.Manager.Remove(ctx, rung, name); err != nil || rung != zone.RungRelease || m.done.Load() {
		return err
	}
	now := time.Now()
	m.begun.CompareAndSwap(nil, &now)
	err := m.r.callPorts(ctx, "release the port", func(ctx context.Context, p zone.Ports) error { return p.Release(ctx, m.port) })
	if err != nil && time.Since(*m.begun.Load()) < releaseFor {
		return err
	}
	m.done.Store(true)
	if err != nil {
		m.r.log.Error().Err(err).Str("link", m.port.Link).Msg("gave up releasing the port of a VMM that is gone")
	}
	return nil
}

// changes reports whether the step is a change of the networking, which must not be
// accepted without a record of it.
func (b batch) changes() bool { return b.caller != nil && b.caller.in.Kind() == vmm.KindSetNetwork }

// refuseChange takes back a change that could not be saved. Changes that were decided as
// if it had been accepted are refused as well.
func (r *Runner) refuseChange(b batch, no answer) {
	b.caller.answer <- no
	r.takeBack(r.view.Load().state.Ports, no)
}

// takeBack refuses all changes that are pending, and has the networking be what it was.
func (r *Runner) takeBack(was *vmm.Ports, no answer) {
	for i := range r.pending {
		if b := &r.pending[i]; b.changes() {
			b.caller.answer <- no
			b.caller, b.effects = nil, nil
		}
	}
	if r.state.Ports != was {
		r.apply(vmm.NetUnsaved{Was: was}, nil)
	}
}

// notePorts records when the port cannot be set up, and when it was.
func (r *Runner) notePorts(was, is vmm.State) {
	if was.Ports != is.Ports && is.Ports != nil {
		r.event("network", networkText(is.Ports.Network))
	}
	switch was, is := was.Flux.Ports, is.Flux.Ports; {
	case was.Since.IsZero() && !is.Since.IsZero():
		r.add(vmm.Event{At: time.Now(), Kind: "ports", Text: "could not set up the port", Error: is.Why})
		r.log.Warn().Str("error", is.Why).Msg("failed to set up the port of a VMM; will retry")
	case !was.Since.IsZero() && is.Since.IsZero() && is.N == was.N:
		r.event("ports", fmt.Sprintf("set up after %d failed tries", was.Asked))
	}
}

func networkText(n vmm.Network) string {
	return fmt.Sprintf("%d ephemeral and %d floating addresses, %d multicast groups, %d attached subnets",
		len(n.External.Ephemeral), len(n.External.Floating), len(n.Groups), len(n.Subnets))
}

// networkStatus describes the networking; nil if there is none and nothing is wrong, or
// the VMM has ended.
func (r *Runner) networkStatus(s vmm.State) *vmm.NetworkStatus {
	if s.Ports == nil || s.Phase >= vmm.Ended || s.Ports.Network.Empty() && s.Flux.Ports.Since.IsZero() {
		return nil
	}
	n := s.Ports.Network
	out := &vmm.NetworkStatus{Ephemeral: n.External.Ephemeral, Floating: n.External.Floating, RecordOnly: r.host.Ports == nil}
	for _, s := range n.External.SourceNAT {
		out.SourceNAT = append(out.SourceNAT, fmt.Sprintf("%s ports %d-%d", s.IP, s.First, s.Last))
	}
	for _, g := range n.Groups {
		out.Groups = append(out.Groups, vmm.GroupStatus(g))
	}
	for _, s := range n.Subnets {
		out.Subnets = append(out.Subnets, vmm.SubnetStatus(s))
	}
	if d := s.Flux.Ports.Doubt; !d.Since.IsZero() {
		out.Trouble = &vmm.PortsTrouble{Since: d.Since, LastError: d.Why, Attempts: d.Asked}
	}
	return out
}
