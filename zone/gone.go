package zone

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Removal sets how EnsureGone goes about it. The zero value is usable.
type Removal struct {
	// Budgets overrides the default budget of rungs; see DefaultBudget.
	Budgets map[Rung]time.Duration
	// RetryMin and RetryMax bound the pause after a rung that failed; defaults
	// 100 ms and 30 s.
	RetryMin, RetryMax time.Duration
	// Gate, if set, is entered for heavy rungs, so that removals share the host's disks.
	Gate Gate
	// Before runs between the kill and the first look, with the removal's own
	// context: the moment to wait, with a bound, for whoever still makes the
	// zone, and to save what the kill does not destroy.
	Before func(context.Context)
	// Begin is told of every rung before it is tried, looks included, and of the
	// empty one after it: what hangs is known by it. It must return at once.
	Begin func(Rung)
	// Observe is told of every rung tried, from the removal's goroutine, but for
	// looks that succeed and for the rung that the end of ctx breaks off. It must
	// return at once.
	Observe func(Report)
	// Abandoned counts calls that outlived their budget and have not returned.
	Abandoned *atomic.Int64
}

// A Gate lets so many heavy rungs run at a time, first come first served.
type Gate interface {
	// Enter waits for a place until ctx ends. leave gives it back.
	Enter(ctx context.Context) (leave func(), err error)
}

// DefaultBudget is how long a rung may take before it counts as failed. A halt
// goes on in zoneadmd whether or not its caller waits, so its budget only says
// how soon the zone is looked at again.
func DefaultBudget(r Rung) time.Duration {
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

// maxAbandoned is how many calls of one removal may be stuck past their budgets
// before no further one is started: enough to get past a helper that hangs
// once, few enough that a dead disk does not collect processes.
const maxAbandoned = 4

// ErrOverBudget is the error of a rung that did not return within its budget.
var ErrOverBudget = errors.New("over budget")

// EnsureGone removes a zone, whatever state it is in, and returns nil once the
// host has said, after everything was released, that there is no such zone. It
// tries for as long as ctx lives; its only error is ctx's. The first thing it
// does is to kill the zone's processes, without looking first.
//
// A call that ignores its budget is abandoned: EnsureGone goes on without it.
// Calling EnsureGone for one name from two goroutines is safe and wasteful.
func EnsureGone(ctx context.Context, m Manager, name string, r Removal) error {
	c := climb{Removal: r, m: m, name: name, tries: map[Rung]int{}}
	c.pause = newPause(r.RetryMin, r.RetryMax)
	_ = c.try(ctx, RungKill) // a kill that failed is tried again once the zone was seen
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

func newPause(least, most time.Duration) backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = cmpOr(least, 100*time.Millisecond)
	b.MaxInterval = cmpOr(most, 30*time.Second)
	b.RandomizationFactor = 0.1
	b.MaxElapsedTime = 0
	// The randomised pause may exceed MaxInterval by its factor.
	b.MaxInterval -= b.MaxInterval / 10
	b.Reset()
	return b
}

func cmpOr(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// climb is one removal under way. It belongs to the goroutine that climbs.
type climb struct {
	Removal
	m     Manager
	name  string
	seen  Info
	tries map[Rung]int
	pause backoff.BackOff
	stuck atomic.Int32
}

// round takes the rungs that the zone's state allows and looks what came of it.
// looked tells that c.seen is fresh. A round without an error made progress.
func (c *climb) round(ctx context.Context, looked bool) (gone bool, err error) {
	if !looked {
		if err := c.try(ctx, RungLook); err != nil {
			return false, err
		}
	}
	was := c.seen.State
	for _, rung := range append(Plan(was), RungVerify) {
		if err := c.try(ctx, rung); err != nil {
			return false, err
		}
	}
	switch {
	case was == Absent && c.seen.State == Absent:
		return true, nil
	case was == c.seen.State:
		return false, fmt.Errorf("zone %s is still %s", c.name, was)
	}
	return false, nil
}

// try takes one rung within its budget and reports it.
func (c *climb) try(ctx context.Context, rung Rung) error {
	budget := DefaultBudget(rung)
	if d, ok := c.Budgets[rung]; ok {
		budget = d
	}
	if c.Begin != nil {
		c.Begin(rung)
		defer c.Begin("")
	}
	begun := time.Now()
	err := c.within(ctx, budget, rung)
	if err != nil && ctx.Err() != nil {
		return err // It was broken off, which says nothing about the zone.
	}
	quiet := err == nil && (rung == RungLook || rung == RungVerify)
	if !quiet {
		c.tries[rung]++
	}
	if c.Observe != nil && !quiet {
		c.Observe(Report{Zone: c.name, Rung: rung, State: c.seen.State, Attempt: c.tries[rung],
			Begun: begun, Took: time.Since(begun), Err: err})
	}
	return err
}

// within runs one rung and stops waiting for it when its budget is spent.
func (c *climb) within(ctx context.Context, budget time.Duration, rung Rung) error {
	if c.stuck.Load() >= maxAbandoned {
		return fmt.Errorf("%s zone %s: %d earlier calls are still stuck", rung, c.name, c.stuck.Load())
	}
	leave, err := c.enter(ctx, rung)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	call := c.start(ctx, rung)
	select {
	case <-call.done:
	case <-ctx.Done():
		if c.abandon(call) {
			return fmt.Errorf("%s zone %s: %w (%s)", rung, c.name, ErrOverBudget, budget)
		}
		<-call.done
	}
	if call.err != nil {
		return call.err // the Manager has said what it tried on which zone
	}
	if rung == RungLook || rung == RungVerify {
		c.seen = call.info
	}
	return nil
}

// pending is one call of the Manager under way. info and err are its results
// once done is closed.
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

func (c *climb) start(ctx context.Context, rung Rung) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		p.info, p.err = c.call(ctx, rung)
		if !p.state.CompareAndSwap(underWay, returned) {
			c.count(-1)
		}
		close(p.done)
	}()
	return p
}

// abandon gives a call up. It tells false if the call has returned after all.
func (c *climb) abandon(p *pending) bool {
	c.count(1) // before the swap, so that the call's own -1 can only follow
	if p.state.CompareAndSwap(underWay, abandoned) {
		return true
	}
	c.count(-1)
	return false
}

func (c *climb) count(by int32) {
	c.stuck.Add(by)
	if c.Abandoned != nil {
		c.Abandoned.Add(int64(by))
	}
}

func (c *climb) enter(ctx context.Context, rung Rung) (leave func(), err error) {
	if c.Gate == nil || !rung.Heavy() {
		return func() {}, nil
	}
	leave, err = c.Gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s zone %s: wait for a turn: %w", rung, c.name, err)
	}
	return leave, nil
}

// call makes the Manager's call of a rung. It may outlive the removal, so it
// writes nothing of c.
func (c *climb) call(ctx context.Context, rung Rung) (Info, error) {
	switch rung {
	case RungLook, RungVerify:
		return c.m.Look(ctx, c.name)
	case RungKill:
		return Info{}, c.m.Kill(ctx, c.name)
	case RungHalt:
		return Info{}, c.m.Halt(ctx, c.name)
	case RungDestroyVM:
		return Info{}, c.m.DestroyVM(ctx, c.name)
	case RungUninstall:
		return Info{}, c.m.Uninstall(ctx, c.name)
	case RungDelete:
		return Info{}, c.m.Delete(ctx, c.name)
	case RungRelease:
		return Info{}, c.m.Release(ctx, c.name)
	}
	return Info{}, fmt.Errorf("rung %q is not one of a removal", rung)
}
