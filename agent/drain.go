package agent

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// drainPeriod is the time between two looks at the VMMs of a sled that is drained.
	drainPeriod = time.Second
	// drainStopBudget bounds the acceptance of one VMM's stop, after which it is requested
	// again. A ledger whose disk hangs delays it by 2 seconds.
	drainStopBudget = 10 * time.Second
	// drainSlack is how much later than the drain's deadline that of a stop may be: the
	// deadline was computed from another clock, maybe by another process.
	drainSlack = time.Second
)

// evacuating returns the error for a VMM that is to be registered or started, or nil.
func (a *Agent) evacuating() error {
	if why := a.cfg.Disposition.State().Why(); why != "" {
		return &vmm.Refusal{Reason: vmm.Evacuating, Detail: why}
	}
	return nil
}

// unstarted reports whether a VMM is registered and was not started.
func (a *Agent) unstarted(id uuid.UUID) bool {
	r, err := a.find(id)
	if err != nil {
		return false
	}
	_, phase, _ := r.State()
	return phase == vmm.Registered
}

// Held returns the sled's disposition and how many VMMs the agent holds, including ended
// ones that Nexus has not acknowledged. Both are of one moment: once the sled is
// evacuated, the number never rises. loaded is false until the VMMs of the ledger are
// included.
func (a *Agent) Held() (s disposition.State, vmms int, loaded bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Disposition.State(), len(a.vmms), !a.loading.Load()
}

// Disposition describes the sled's disposition.
func (a *Agent) Disposition() disposition.Status {
	s, vmms, _ := a.Held()
	return a.cfg.Disposition.Status(s, vmms)
}

// Configure keeps Nexus's sled configuration and follows its disposition. It stops no
// VMM.
func (a *Agent) Configure(ctx context.Context, c disposition.Config) error {
	if err := a.cfg.Disposition.Configure(ctx, c); err != nil {
		return err
	}
	a.cfg.Log.Info().Uint64("generation", c.Generation).Str("update_disposition", string(c.Disposition)).
		Msg("sled configuration stored")
	return nil
}

// BeginDrain drains the sled for an operator: no VMM is registered or started, and all
// are stopped with the grace, which is watchdog.stop_grace if it is nil. A repeated drain
// may bring the deadline forward, never push it back. The drain is in force even if it
// cannot be written.
func (a *Agent) BeginDrain(ctx context.Context, by vmm.Who, grace *time.Duration) disposition.Status {
	granted := a.host.Settings.Limits().Grace(vmm.Stop{Grace: grace})
	a.cfg.Disposition.Begin(string(by), granted)
	a.wakeDrainer() // a disk that hangs delays no stop
	a.cfg.Log.Warn().Str("by", string(by)).Stringer("grace", granted).Int("vmms", a.VMMs()).Msg("sled is being drained")
	if err := a.cfg.Disposition.Save(ctx); err != nil {
		a.cfg.Log.Error().Err(err).Msg("failed to write the drain; will retry")
	}
	return a.Disposition()
}

// EndDrain ends the operator's drain. Stops that were accepted stay accepted.
func (a *Agent) EndDrain(ctx context.Context, by vmm.Who) (disposition.Status, error) {
	defer a.wakeDrainer()
	if err := a.cfg.Disposition.Undrain(ctx); err != nil {
		return disposition.Status{}, &vmm.Refusal{Reason: vmm.Unwritable, Detail: err.Error()}
	}
	now := a.Disposition()
	a.cfg.Log.Warn().Str("by", string(by)).Str("update_disposition", string(now.Disposition)).Msg("drain was ended")
	return now, nil
}

func (a *Agent) wakeDrainer() {
	select {
	case a.drained <- struct{}{}:
	default:
	}
}

// drainer stops all VMMs while the operator's drain is in force, also one of an earlier
// process.
func (a *Agent) drainer() {
	for {
		var again <-chan time.Time
		if a.drain() {
			again = time.After(drainPeriod)
		}
		select {
		case <-again:
		case <-a.drained:
		case <-a.host.Life.Done():
			return
		}
	}
}

// drain requests the stops that are missing, concurrently. It reports whether anything is
// left to do.
func (a *Agent) drain() (unfinished bool) {
	d := a.cfg.Disposition.State().Operator
	if d == nil {
		return false
	}
	saved := make(chan error, 1)
	go func() { saved <- a.cfg.Disposition.Save(a.host.Life) }() // a disk that hangs delays no stop
	runners, left := a.all(), a.cfg.Disposition.Remaining(d)
	ctx, cancel := context.WithTimeout(a.host.Life, drainStopBudget)
	defer cancel()
	var stops sync.WaitGroup
	for _, r := range runners {
		if mayOutlast(r, time.Now().Add(left+drainSlack)) {
			stops.Go(func() { a.stopForDrain(ctx, r, vmm.Who(d.By), left) })
		}
	}
	stops.Wait()
	return <-saved != nil || len(runners) > 0
}

// mayOutlast reports whether a VMM has no stop, or one with a later deadline.
func mayOutlast(r *runner.Runner, deadline time.Time) bool {
	if _, phase, _ := r.State(); phase >= vmm.Removing {
		return false
	}
	s := r.Status(false)
	return s.Stop == nil || s.Deadline != nil && s.Deadline.After(deadline)
}

func (a *Agent) stopForDrain(ctx context.Context, r *runner.Runner, by vmm.Who, grace time.Duration) {
	if _, err := r.Do(ctx, vmm.Stop{By: by, Grace: &grace}); err != nil && a.host.Life.Err() == nil {
		a.cfg.Log.Warn().Err(err).Str("zone", r.Zone()).Msg("failed to stop a VMM for the drain; will retry")
	}
}
