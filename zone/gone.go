package zone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Removal holds the options of EnsureGone. The zero value is usable.
type Removal struct {
	// RetryMax bounds the pause after a failed rung. The pause grows from 100 ms;
	// 0 means 30 s.
	RetryMax time.Duration
	// Killed is set if the zone's processes were just sent SIGKILL. The first kill
	// is then left out.
	Killed bool
	// Ended, if set, is closed when the processes that were killed have ended. What follows
	// the kill waits for that for up to settleTime: while many zones end at once, it would
	// only take the processor from that.
	Ended <-chan struct{}
	// Gate, if set, is entered for heavy rungs, to limit the load on the host's disks.
	Gate Gate
	// Before runs between the kill and the first look, with the removal's own
	// context. It may save what the kill does not destroy.
	Before func(context.Context)
	// Begin is called with each rung before it is tried, looks included, and with
	// the empty rung after it. It identifies a call that hangs. It must not block.
	Begin func(Rung)
	// Observe is called with the report of each rung tried, on the removal's
	// goroutine. Looks that succeed and a rung interrupted by the end of ctx are
	// not reported. It must not block.
	Observe func(Report)
	// Abandoned counts calls that exceeded their budget and have not returned.
	Abandoned *atomic.Int64
}

// A Gate limits how many heavy rungs run at a time, in order of arrival.
type Gate interface {
	// Enter waits for a place until ctx ends. leave releases the place.
	Enter(ctx context.Context) (leave func(), err error)
}

// Budget returns how long a rung may take before it counts as failed. A halt
// continues in zoneadmd whether or not its caller waits, so its budget only decides
// how soon the zone is looked at again.
func Budget(r Rung) time.Duration {
	switch r {
	case RungLook, RungVerify:
		return 5 * time.Second
	case RungKill:
		return 2 * time.Second
	case RungHalt:
		return 30 * time.Second
	case RungUninstall:
		return 2 * time.Minute
	default:
		return 30 * time.Second
	}
}

// maxAbandoned is how many calls of one rung may be stuck past their budgets. While
// that many are, no further call of the rung is started; other rungs are still
// tried. Two are enough to get past a helper that hangs once, and few enough that
// processes do not pile up on a failed disk.
const maxAbandoned = 2

// ErrOverBudget is the error of a rung that did not return within its budget.
var ErrOverBudget = errors.New("over budget")

// EnsureGone removes a zone in any state. It returns nil once everything was
// released and the host has reported afterwards that there is no such zone. It
// retries until ctx ends; its only error is the cause of that. It begins by killing
// the zone's processes, without looking first.
//
// A call that ignores its budget is abandoned: EnsureGone continues without it.
// Concurrent calls of EnsureGone for one name are safe but do the work twice.
func EnsureGone(ctx context.Context, m Manager, name string, r Removal) error {
	c := attempt{Removal: r, m: m, name: name, tries: map[Rung]int{}, stuck: map[Rung]*atomic.Int32{}}
	c.pause = newPause(cmp.Or(r.RetryMax, 30*time.Second))
	if !r.Killed {
		_ = c.try(ctx, RungKill) // a failed kill is retried once the zone was seen
	}
	if r.Killed && r.Ended != nil {
		settle(ctx, r.Ended)
	}
	if r.Before != nil {
		r.Before(ctx)
	}
	looked := false
	for ctx.Err() == nil {
		gone, err := c.round(ctx, looked)
		if gone {
			return nil
		}
		looked = err == nil
		if looked {
			c.pause.Reset()
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.pause.NextBackOff()):
		}
	}
	return fmt.Errorf("remove zone %s: %w", name, context.Cause(ctx))
}

// settleTime bounds the wait for processes that were killed: many times what the end of a
// thousand takes.
const settleTime = time.Second

func settle(ctx context.Context, ended <-chan struct{}) {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func newPause(most time.Duration) backoff.BackOff {
	// The randomization may lengthen the pause by its factor.
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(100*time.Millisecond, most)),
		backoff.WithMaxInterval(most-most/10), backoff.WithRandomizationFactor(0.1), backoff.WithMaxElapsedTime(0))
}

// attempt is one running removal. It belongs to EnsureGone's goroutine.
type attempt struct {
	Removal
	m     Manager
	name  string
	seen  Info
	tries map[Rung]int
	pause backoff.BackOff
	// stuck counts the abandoned calls of each rung that have not returned.
	stuck map[Rung]*atomic.Int32
}

// round takes all rungs that the zone's state allows and looks at the result.
// looked reports whether c.seen is fresh. A round without an error made progress.
func (c *attempt) round(ctx context.Context, looked bool) (gone bool, err error) {
	var failed []error
	if !looked {
		failed = append(failed, c.look(ctx, RungLook))
	}
	was := c.seen.State
	for _, rung := range Plan(was) {
		err := c.try(ctx, rung)
		failed = append(failed, err)
		if err != nil && rung.needed() {
			break
		}
	}
	unseen := c.look(ctx, RungVerify)
	err = errors.Join(append(failed, unseen)...)
	switch {
	case err == nil && c.seen.State == Absent && was != Unknown && was <= Installed:
		return true, nil
	case unseen == nil && was != c.seen.State:
		return false, nil
	case err == nil:
		err = fmt.Errorf("zone %s is still %s", c.name, was)
	}
	return false, err
}

// look takes a rung that determines the zone's state. After a failure the state is
// unknown, since an earlier look proves nothing now.
func (c *attempt) look(ctx context.Context, rung Rung) error {
	err := c.try(ctx, rung)
	if err == nil && c.seen.State == Unknown {
		err = fmt.Errorf("%s zone %s: its state cannot be determined", rung, c.name)
	}
	if err != nil {
		c.seen = Info{Name: c.name}
	}
	return err
}

// try takes one rung within its budget and reports it.
func (c *attempt) try(ctx context.Context, rung Rung) error {
	if c.Begin != nil {
		c.Begin(rung)
		defer c.Begin("")
	}
	begun := time.Now()
	err := c.within(ctx, Budget(rung), rung)
	if err != nil && ctx.Err() != nil {
		return err // interrupted: this proves nothing about the zone
	}
	quiet := err == nil && (rung == RungLook || rung == RungVerify)
	if !quiet {
		c.tries[rung]++
	}
	if c.Observe != nil && !quiet {
		c.Observe(Report{Rung: rung, State: c.seen.State, Attempt: c.tries[rung],
			Begun: begun, Took: time.Since(begun), Err: err})
	}
	return err
}

// within runs one rung and stops waiting for it when its budget is used up.
func (c *attempt) within(ctx context.Context, budget time.Duration, rung Rung) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stuck := c.stuck[rung]
	if stuck == nil {
		stuck = new(atomic.Int32)
		c.stuck[rung] = stuck
	}
	if n := stuck.Load(); n >= maxAbandoned {
		return fmt.Errorf("%s zone %s: %d earlier calls are still stuck", rung, c.name, n)
	}
	leave, err := c.enter(ctx, rung)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	call := c.start(ctx, rung, stuck)
	select {
	case <-call.done:
	case <-ctx.Done():
		if c.abandon(call, stuck) {
			return fmt.Errorf("%s zone %s: %w (%s)", rung, c.name, ErrOverBudget, budget)
		}
		<-call.done
	}
	if call.err != nil {
		return call.err // names the operation and the zone already
	}
	if rung == RungLook || rung == RungVerify {
		c.seen = call.info
	}
	return nil
}

// pending is one running call of the Manager. info and err are its results once
// done is closed.
type pending struct {
	done  chan struct{}
	info  Info
	err   error
	state atomic.Int32 // underWay, then either returned or abandoned
}

const (
	underWay int32 = iota
	returned
	abandoned
)

func (c *attempt) start(ctx context.Context, rung Rung, stuck *atomic.Int32) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		p.info, p.err = c.call(ctx, rung)
		if !p.state.CompareAndSwap(underWay, returned) {
			c.count(stuck, -1)
		}
		close(p.done)
	}()
	return p
}

// abandon abandons a call. It returns false if the call has returned meanwhile.
func (c *attempt) abandon(p *pending, stuck *atomic.Int32) bool {
	c.count(stuck, 1) // before the swap, so that the call's own -1 comes later
	if p.state.CompareAndSwap(underWay, abandoned) {
		return true
	}
	c.count(stuck, -1)
	return false
}

func (c *attempt) count(stuck *atomic.Int32, by int32) {
	stuck.Add(by)
	if c.Abandoned != nil {
		c.Abandoned.Add(int64(by))
	}
}

func (c *attempt) enter(ctx context.Context, rung Rung) (leave func(), err error) {
	if c.Gate == nil || !rung.Heavy() {
		return func() {}, nil
	}
	leave, err = c.Gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s zone %s: wait for the gate: %w", rung, c.name, err)
	}
	return leave, nil
}

// call calls the Manager for a rung. It may outlive the removal, so it must not
// write to c.
func (c *attempt) call(ctx context.Context, rung Rung) (Info, error) {
	if rung == RungLook || rung == RungVerify {
		return c.m.Look(ctx, c.name)
	}
	return Info{}, c.m.Remove(ctx, rung, c.name)
}
