package runner

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/propolis"
)

func parseAddr(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return addr, fmt.Errorf("source address %q: %w", s, err)
	}
	return addr, nil
}

// put asks Propolis for a state. A request to run or to stop is repeated until
// Propolis takes it, or says that it has no VM to take it: then it is winding
// down, and the monitor will tell how that ends. Repeating is bounded by the
// deadline, which ends ctx.
func (r *Runner) put(ctx context.Context, action vmm.Action, tell func(report)) {
	if action == vmm.AskReboot {
		r.putOnce(ctx, tell)
		return
	}
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second),
		backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
	err := backoff.Retry(func() error {
		err := r.client.Put(ctx, propolis.Action(action))
		if propolis.KindOf(err) == propolis.NoInstance {
			return backoff.Permanent(err)
		}
		r.noteCall("put state "+string(action), err)
		return err
	}, backoff.WithContext(pause, ctx))
	failpoint.Here("propolis/put-" + string(action))
	switch {
	case err == nil:
		tell(report{in: vmm.Answered{Action: action}})
	case propolis.KindOf(err) == propolis.NoInstance:
		r.event("asked", "Propolis is winding down already: "+err.Error())
	}
}

// putOnce asks Propolis to reboot. Its answer is the caller's, for better or worse.
func (r *Runner) putOnce(ctx context.Context, tell func(report)) {
	err := r.client.Put(ctx, propolis.Reboot)
	r.noteCall("put state Reboot", err)
	tell(report{in: vmm.Answered{Action: vmm.AskReboot, Refused: err != nil,
		NoVM: propolis.KindOf(err) == propolis.NoInstance},
		then: func(r *Runner) { r.rebootErr = err }})
}

// observe follows Propolis's monitor until the VM has ended or the removal begins.
func (r *Runner) observe(ctx context.Context, tell func(report)) {
	r.client.Watch(ctx, 0, r.host.Watch, func(e propolis.WatchEvent) {
		switch {
		case e.Observation != nil:
			r.noteSpeaks()
			tell(report{in: observed(*e.Observation)})
		case e.NoInstance:
			tell(report{in: vmm.Lost{Why: "Propolis has lost the VM: " + e.Err.Error()}})
		case e.Gone:
			tell(report{in: vmm.Lost{Why: "Propolis is gone: " + e.Err.Error()}})
		case e.Silent:
			r.noteSilent(e.Err)
		default:
			r.noteSpeaks()
		}
	})
}

func observed(o propolis.Observation) vmm.Observed {
	return vmm.Observed{State: vmm.PropolisState(o.State), Gen: o.Gen,
		MigrationIn: migration(o.MigrationIn), MigrationOut: migration(o.MigrationOut)}
}

func migration(m *propolis.Migration) *vmm.ObservedMigration {
	if m == nil {
		return nil
	}
	return &vmm.ObservedMigration{ID: m.ID, Phase: string(m.Phase)}
}
