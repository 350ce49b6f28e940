package runner

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/propolis"
)

// put asks Propolis to run or to stop, until it accepts or says that it has no
// VM. Repeating is bounded by the deadline, which ends ctx. Each request has what is
// left of a soft stop's time.
func (r *Runner) put(ctx context.Context, e vmm.Ask, tell func(report)) {
	action := e.Action
	err := backoff.Retry(func() error {
		err := r.client.Put(ctx, propolis.Action(action), soft(e))
		switch propolis.KindOf(err) {
		case propolis.NoInstance:
			return backoff.Permanent(err)
		case propolis.ConnRefused:
			tell(report{in: vmm.Answered{Action: action, Unreachable: true}})
		}
		r.noteCall("put state "+string(action), err)
		return err
	}, backoff.WithContext(newPause(time.Second, 10*time.Second), ctx))
	failpoint.Here("propolis/put-" + string(action))
	noVM := propolis.KindOf(err) == propolis.NoInstance
	if err == nil || noVM {
		tell(report{in: vmm.Answered{Action: action, NoVM: noVM, Until: e.Until}})
	}
}

// soft is the time that is left until Propolis is to force what it is asked for.
func soft(e vmm.Ask) time.Duration {
	if e.Until.IsZero() {
		return 0
	}
	return max(time.Until(e.Until), 0)
}

// putOnce asks Propolis to reboot. Its answer is the caller's.
func (r *Runner) putOnce(ctx context.Context, e vmm.Ask, tell func(report)) {
	err := r.client.Put(ctx, propolis.Reboot, soft(e))
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
			tell(report{in: observed(*e.Observation)})
		case e.NoInstance:
			tell(report{in: vmm.Lost{Why: "Propolis has lost the VM: " + e.Err.Error()}})
		case e.Gone:
			tell(report{in: vmm.Lost{Why: "Propolis is gone: " + e.Err.Error()}})
		case e.Silent:
			r.unsure(vmm.OfServer, e.Err.Error(), tell)
		default:
			tell(report{in: vmm.Present{Of: vmm.OfServer}})
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
