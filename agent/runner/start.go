package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
)

// starting knows whether an effect is under way that can make something of the
// zone. It is shared by the loop, the effect and the removal.
type starting struct {
	mu   sync.Mutex
	done chan struct{} // closed when the effect has returned; nil while there is none
	// removed is set once a removal has found nothing left: whoever is still
	// starting then has to have it removed again.
	removed bool
}

func (s *starting) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = make(chan struct{})
}

// end tells whether the zone must be removed once more.
func (s *starting) end() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.done)
	s.done = nil
	return s.removed
}

func (s *starting) underWay() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done != nil
}

// settle waits until no start is under way, for at most d or until ctx ends.
func (s *starting) settle(ctx context.Context, d time.Duration) {
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *starting) setRemoved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
}

// begin runs one of the two effects of a start. They follow each other, so they
// share a slot.
func (r *Runner) begin(effect func(context.Context) report) {
	r.starting.begin()
	if r.start.cancel != nil {
		r.start.cancel()
	}
	ctx, cancel := context.WithCancel(r.work)
	r.start.turn, r.start.cancel = r.start.turn+1, cancel
	turn := r.start.turn
	go func() {
		defer cancel()
		m := effect(ctx)
		if r.starting.end() {
			r.host.Guard.Remove(r.id.String())
		}
		m.slot, m.turn = &r.start, turn
		r.send(m)
	}()
}

func startFailed(what string, err error) report {
	return report{in: vmm.StartFailed{Why: what + ": " + err.Error()}}
}

// boot makes the zone and boots it.
func (r *Runner) boot(ctx context.Context) report {
	if err := r.host.Claim(r.reg.PropolisAddr, r.id); err != nil {
		return startFailed("claim propolis_addr", err)
	}
	leave, err := r.host.Starts.Enter(ctx)
	if err != nil {
		return startFailed("wait for a turn to make the zone", err)
	}
	defer leave()
	begun := time.Now()
	made, err := r.create(ctx)
	if err != nil {
		return startFailed("make the zone", err)
	}
	r.eventTook("zone-created", "", begun)
	failpoint.Here("zone/created")
	begun = time.Now()
	if err := r.host.Zones.Boot(ctx, r.zone); err != nil {
		return startFailed("boot the zone", err)
	}
	r.eventTook("zone-booted", "", begun)
	failpoint.Here("zone/booted")
	info, err := r.host.Zones.Look(ctx, r.zone)
	if err != nil {
		return startFailed("look at the zone that was booted", err)
	}
	r.notePID(info.PID)
	unwatch := r.host.Zones.Watch(r.zone, r.zoneEnded)
	return report{in: vmm.ZoneBooted{}, then: func(r *Runner) {
		r.facts = ledger.Zone{Incarnation: info.Incarnation, Links: made.Links}
		r.unwatch = unwatch
	}}
}

// create makes the zone. One of its name that exists already is nobody's: a VMM
// id is never used twice, so it is what an earlier life has left.
func (r *Runner) create(ctx context.Context) (zone.Made, error) {
	spec := zone.Spec{Name: r.zone, Addr: r.reg.PropolisAddr, Devices: r.reg.Zvols}
	for _, n := range r.reg.NICs {
		nic := zone.NIC{ID: n.ID.String(), MAC: n.MAC}
		if n.Primary {
			nic.MTU = r.reg.PrimaryMTU
		}
		spec.NICs = append(spec.NICs, nic)
	}
	made, err := r.host.Zones.Create(ctx, spec)
	if !errors.Is(err, zone.ErrExists) {
		return made, err
	}
	if err := zone.EnsureGone(ctx, r.host.Zones, r.zone, r.removal()); err != nil {
		return made, err
	}
	return r.host.Zones.Create(ctx, spec)
}

// ensure waits until Propolis serves and gives it the VM. Its budget is the
// start's deadline, which the watchdog keeps.
func (r *Runner) ensure(ctx context.Context, links map[string]string) report {
	begun := time.Now()
	if err := r.awaitPropolis(ctx); err != nil {
		return startFailed("wait for Propolis to serve", err)
	}
	spec, err := propolis.SetVNICs(r.reg.Spec, links)
	if err != nil {
		return startFailed("set the VNICs in the spec", err)
	}
	meta := r.host.Sled
	meta.SiloID, meta.ProjectID = r.reg.SiloID, r.reg.ProjectID
	req := propolis.EnsureRequest{Spec: spec, Properties: propolis.Properties{ID: r.reg.InstanceID,
		Name: r.reg.Hostname, Description: "Omicron-managed VM", Metadata: meta}}
	if req.Migration, err = r.source(); err != nil {
		return startFailed("migrate in", err)
	}
	err = r.client.Ensure(ctx, req)
	if err != nil && propolis.KindOf(err) != propolis.AlreadyInitialized {
		r.noteCall("ensure", err)
		return startFailed("give Propolis the VM", err)
	}
	r.eventTook("ensured", "", begun)
	failpoint.Here("propolis/ensured")
	return report{in: vmm.Ensured{}}
}

const (
	// askHostEvery is how often the host is asked after a server that refuses
	// connections: for illumos that is a command in the zone.
	askHostEvery = 2 * time.Second
	// askHostBudget is for one such question, which is also for the reason.
	askHostBudget = 10 * time.Second
)

// awaitPropolis asks until Propolis answers HTTP at all, or the host has given it up.
func (r *Runner) awaitPropolis(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var refuses atomic.Bool
	go r.askHost(ctx, &refuses, end)
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(500*time.Millisecond), backoff.WithMaxElapsedTime(0))
	err := backoff.Retry(func() error {
		err := r.client.Ready(ctx)
		r.notes.call("get instance", err) // no event: every server refuses at first
		refuses.Store(propolis.KindOf(err) == propolis.Unreachable)
		return err
	}, backoff.WithContext(pause, ctx))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// askHost asks the host after the server for as long as that refuses connections
// and ctx lasts, and ends it with the reason if the host has given the server up.
// It is apart from the wait for the server, which it must not delay: the answer
// of a host may take its time.
func (r *Runner) askHost(ctx context.Context, refuses *atomic.Bool, end context.CancelCauseFunc) {
	tick := time.NewTicker(askHostEvery)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !refuses.Load() {
			continue
		}
		asking, done := context.WithTimeout(ctx, askHostBudget)
		why, err := r.host.Zones.ServerFailed(asking, r.zone)
		done()
		if why != "" {
			end(errors.New(why))
			return
		}
		// A trouble becomes an event when it is new, not each time.
		if err != nil && err.Error() != last && ctx.Err() == nil {
			last = err.Error()
			r.add(vmm.Event{At: time.Now(), Kind: "starting", Text: "ask the host after the server", Error: last})
		}
	}
}

// source is where a migration target comes from; nil for a VM from its spec.
func (r *Runner) source() (*propolis.MigrationSource, error) {
	src := r.view.Load().state.Src
	if src == "" {
		return nil, nil
	}
	addr, err := parseAddr(src)
	if err != nil {
		return nil, err
	}
	if r.reg.MigrationID == nil {
		return nil, fmt.Errorf("the VMM was registered without a migration id")
	}
	return &propolis.MigrationSource{ID: *r.reg.MigrationID, SrcAddr: addr}, nil
}
