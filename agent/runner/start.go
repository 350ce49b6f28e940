package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
)

func startFailed(what string, err error) report {
	return report{in: vmm.StartFailed{Why: what + ": " + err.Error()}}
}

// newPause returns pauses from least to most that go on for ever.
func newPause(least, most time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(least), backoff.WithMaxInterval(most),
		backoff.WithMaxElapsedTime(0))
}

// boot makes the zone and boots it. What the host is short of for the moment is
// waited for, within the start's budget, and what it does not say is asked again.
func (r *Runner) boot(ctx context.Context, tell func(report)) {
	again := newPause(time.Second, 15*time.Second)
	for {
		what, made, err := r.tryBoot(ctx)
		switch {
		case err == nil:
			r.booted(ctx, made, tell)
			return
		case ctx.Err() != nil || !transient(err):
			tell(startFailed(what, err))
			return
		}
		r.add(vmm.Event{At: time.Now(), Kind: "starting", Text: what + "; will try again", Error: err.Error()})
		if !pause(ctx, again.NextBackOff()) {
			tell(startFailed(what, err))
			return
		}
	}
}

// transient reports whether the same may work later.
func transient(err error) bool {
	if errors.Is(err, zone.ErrBusy) || errors.Is(err, zone.ErrUnsure) || errors.Is(err, ErrLeaving) || errors.Is(err, errUnread) ||
		errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, no := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func (r *Runner) tryBoot(ctx context.Context) (what string, made zone.Made, err error) {
	if err := r.host.Claim(r.who.PropolisAddr, r.id); err != nil {
		return "claim propolis_addr", made, err
	}
	reg, err := r.registration(ctx)
	if err != nil {
		return "read what the VMM was registered with", made, err
	}
	leave, err := r.host.Starts.Enter(ctx)
	if err != nil {
		return "wait for a turn to make the zone", made, err
	}
	defer leave()
	begun := time.Now()
	if made, err = r.create(ctx, reg); err != nil {
		return "make the zone", made, err
	}
	r.eventTook("zone-created", "", begun)
	failpoint.Here("zone/created")
	begun = time.Now()
	if err := r.host.Zones.Boot(ctx, r.zone); err != nil {
		return "boot the zone", made, err
	}
	r.eventTook("zone-booted", "", begun)
	failpoint.Here("zone/booted")
	return "", made, nil
}

// booted finds out which boot of the zone this is. A look without an answer is
// repeated.
func (r *Runner) booted(ctx context.Context, made zone.Made, tell func(report)) {
	again := newPause(200*time.Millisecond, 5*time.Second)
	for {
		info, err := r.look(ctx)
		v, why := zone.Judge(info, err, "")
		switch {
		case ctx.Err() != nil:
			tell(startFailed("look at the zone that was booted", context.Cause(ctx)))
			return
		case v == zone.Ended:
			tell(report{in: vmm.StartFailed{Why: "after its boot, " + why}})
			return
		case v == zone.Present && info.Incarnation != "":
			r.notePID(info.PID)
			facts := ledger.Zone{Name: r.zone, Incarnation: info.Incarnation, Links: made.Links,
				Datalinks: made.Datalinks, Path: made.Path}
			unwatch := r.watchZone()
			tell(report{in: vmm.ZoneBooted{}, then: func(r *Runner) { r.facts, r.unwatch = facts, unwatch }})
			return
		}
		tell(report{in: vmm.Unsure{Of: vmm.OfZone, Why: why}})
		if !pause(ctx, again.NextBackOff()) {
			tell(startFailed("look at the zone that was booted", context.Cause(ctx)))
			return
		}
	}
}

// registration is what the VMM was registered with. It is read from the ledger,
// and only when a start needs it: deadlines and stops do not, and there may be
// many and long ones.
func (r *Runner) registration(ctx context.Context) (*vmm.Registration, error) {
	if reg := r.saved.registration(); reg != nil {
		return reg, nil
	}
	return within(ctx, r, registrationBudget, "read the ledger", func(context.Context) (*vmm.Registration, error) {
		reg, err := r.host.Journal.Registration(r.id)
		if err != nil && !errors.Is(err, ledger.ErrDamaged) {
			err = fmt.Errorf("%w: %w", errUnread, err)
		}
		return reg, err
	})
}

const registrationBudget = 30 * time.Second

// errUnread is the error of a registration that could not be read this time.
var errUnread = errors.New("registration was not read")

// readRegistration is registration, repeated until it has an answer.
func (r *Runner) readRegistration(ctx context.Context) (*vmm.Registration, error) {
	return backoff.RetryWithData(func() (*vmm.Registration, error) {
		reg, err := r.registration(ctx)
		if errors.Is(err, ledger.ErrDamaged) {
			err = backoff.Permanent(err)
		}
		return reg, err
	}, backoff.WithContext(newPause(time.Second, 15*time.Second), ctx))
}

// create makes the zone. One of its name that exists already belongs to no VMM: a
// VMM id is never used twice, so it is left from an earlier attempt.
func (r *Runner) create(ctx context.Context, reg *vmm.Registration) (zone.Made, error) {
	spec := zone.Spec{Name: r.zone, Addr: reg.PropolisAddr, Devices: reg.Zvols}
	for _, n := range reg.NICs {
		nic := zone.NIC{ID: n.ID.String(), MAC: n.MAC}
		if n.Primary {
			nic.MTU = reg.PrimaryMTU
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
func (r *Runner) ensure(ctx context.Context, links map[string]string, src string, tell func(report)) {
	begun := time.Now()
	reg, err := r.readRegistration(ctx)
	if err != nil {
		tell(startFailed("read what the VMM was registered with", err))
		return
	}
	req, err := r.ensureRequest(reg, links, src)
	if err != nil {
		tell(startFailed("describe the VM to Propolis", err))
		return
	}
	again := newPause(time.Second, 15*time.Second)
	if _, err := r.awaitPropolis(ctx); err != nil {
		tell(startFailed("wait for Propolis to serve", err))
		return
	}
	for crashes := 0; ; {
		unsure, err := r.give(ctx, req)
		if err == nil {
			break
		}
		if !unsure {
			tell(startFailed("give Propolis the VM", err))
			return
		}
		refused, waitErr := r.awaitPropolis(ctx)
		if waitErr == nil && refused {
			crashes++
		}
		switch {
		case waitErr != nil:
			tell(startFailed("wait for Propolis to serve", waitErr))
			return
		case crashes >= mostCrashes && r.hasNone(ctx):
			tell(startFailed(fmt.Sprintf("give Propolis the VM, at which it ended %d times", crashes), err))
			return
		case !pause(ctx, again.NextBackOff()):
			tell(startFailed("give Propolis the VM", err))
			return
		}
	}
	r.eventTook("ensured", "", begun)
	failpoint.Here("propolis/ensured")
	tell(report{in: vmm.Ensured{}})
}

// mostCrashes is how many times a server may end while it is given the VM, and be
// started again by its host, before the start has failed.
const mostCrashes = 3

// hasNone reports whether the server says that it has no VM.
func (r *Runner) hasNone(ctx context.Context) bool {
	_, err := r.client.Instance(ctx)
	r.notes.call("get instance", err)
	return propolis.KindOf(err) == propolis.NoInstance
}

// give gives Propolis the VM once. It is unsure if an error does not say that the
// server has no VM of ours: it may have one from this request or an earlier one,
// and that may be running already, if it came by migration or an earlier process
// of the agent had asked for it.
func (r *Runner) give(ctx context.Context, req propolis.EnsureRequest) (unsure bool, err error) {
	err = r.client.Ensure(ctx, req)
	r.noteCall("ensure", err)
	switch propolis.KindOf(err) {
	case propolis.AlreadyInitialized:
		return false, r.ours(ctx)
	case propolis.ConnRefused, propolis.NotConnected, propolis.Interrupted, propolis.Timeout, propolis.Malformed, propolis.Unavailable:
		return true, err
	case propolis.Broken:
		id, none := r.client.Instance(ctx)
		if none == nil && id == r.who.InstanceID {
			return false, nil
		}
		return none != nil && propolis.KindOf(none) != propolis.NoInstance, err
	}
	return false, err
}

func (r *Runner) ensureRequest(reg *vmm.Registration, links map[string]string, src string) (req propolis.EnsureRequest, err error) {
	if req.Spec, err = propolis.SetVNICs(reg.Spec, links); err != nil {
		return req, fmt.Errorf("set the VNICs in the spec: %w", err)
	}
	meta := r.host.Sled()
	meta.SiloID, meta.ProjectID = reg.SiloID, reg.ProjectID
	req.Properties = propolis.Properties{ID: reg.InstanceID, Name: reg.Hostname,
		Description: "Omicron-managed VM", Metadata: meta}
	if src == "" {
		return req, nil
	}
	addr, err := netip.ParseAddrPort(src)
	if err != nil {
		return req, fmt.Errorf("source address %q: %w", src, err)
	}
	if reg.MigrationID == nil {
		return req, errors.New("the VMM was registered without a migration id")
	}
	req.Migration = &propolis.MigrationSource{ID: *reg.MigrationID, SrcAddr: addr}
	return req, nil
}

// ours finds out whose VM the server has if it reports that it has one already,
// perhaps from an earlier request. While the VM is being created the server may
// not answer that.
func (r *Runner) ours(ctx context.Context) error {
	id, err := backoff.RetryWithData(func() (uuid.UUID, error) {
		id, err := r.client.Instance(ctx)
		r.notes.call("get instance", err)
		return id, err
	}, backoff.WithContext(newPause(100*time.Millisecond, 5*time.Second), ctx))
	switch {
	case err != nil:
		return fmt.Errorf("the server has a VM already; ask whose it is: %w", err)
	case id != r.who.InstanceID:
		return fmt.Errorf("the server at %s has the VM of another instance, %s", r.who.PropolisAddr, id)
	}
	return nil
}

const (
	// askHostEvery is how often the host is asked after a server that refuses
	// connections: for illumos that is a command in the zone.
	askHostEvery = 2 * time.Second
	// askHostBudget is for one such question, which is also for the reason.
	askHostBudget = 10 * time.Second
)

// awaitPropolis asks until Propolis answers HTTP at all, or the host reports that it
// has failed. It reports whether a connection was refused meanwhile, which proves
// that there was no server.
func (r *Runner) awaitPropolis(ctx context.Context) (refused bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var refuses atomic.Bool
	go r.askHost(ctx, &refuses, end)
	err = backoff.Retry(func() error {
		err := r.client.Ready(ctx)
		r.notes.call("get instance", err) // no event: every server refuses at first
		refuses.Store(propolis.KindOf(err) == propolis.ConnRefused)
		refused = refused || refuses.Load()
		return err
	}, backoff.WithContext(newPause(10*time.Millisecond, 500*time.Millisecond), ctx))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return refused, err
}

// askHost asks the host for the server's state while the server refuses connections,
// and ends ctx with the reason if it has failed. It does not delay the wait for the
// server: the host's answer may take seconds.
func (r *Runner) askHost(ctx context.Context, refuses *atomic.Bool, end context.CancelCauseFunc) {
	for last := ""; pause(ctx, askHostEvery); {
		if !refuses.Load() {
			continue
		}
		why, err := r.serverFailed(ctx)
		if why != "" {
			end(errors.New(why))
			return
		}
		// An error becomes an event when it is new, not each time.
		if err != nil && err.Error() != last && ctx.Err() == nil {
			last = err.Error()
			r.add(vmm.Event{At: time.Now(), Kind: "starting", Text: "ask the host for the state of the server", Error: last})
		}
	}
}
