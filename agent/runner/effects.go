package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
)

// An effect carries out one of the machine's effects that take time.
type effect struct {
	// name is the kind of which at most one is under way.
	name string
	// after is the pause before it runs.
	after time.Duration
	// run does it and reports; its context ends when it is superseded or the
	// removal begins.
	run func(ctx context.Context, tell func(report))
	// outlives is set if the removal does not end it.
	outlives bool
	// joins is set if one that is under way is not superseded but repeats its work.
	joins bool
}

// effectOf is the table of effects:
//
//	kind         runs     within                       its report becomes
//	Boot         boot     the start's deadline         ZoneBooted, StartFailed
//	Ensure       ensure   the start's deadline         Ensured, StartFailed
//	Apply        apply    applyBudget each, until done Applied
//	Check        check    lookBudget each, until sure  Present, ZoneEnded, Lost, Unsure
//	Ask Run      put      RequestTimeout each, until   Answered
//	Ask Stop     put        accepted or superseded     Answered
//	Ask Reboot   putOnce  RequestTimeout               Answered
//	Watch        observe  the VM's life                Observed, Lost, Present, Unsure
//	Publish      offer    Nexus's RequestTimeout       Published
//
// Boot and Ensure follow each other and never overlap.
func (r *Runner) effectOf(e vmm.Effect) (effect, bool) {
	switch e := e.(type) {
	case vmm.Boot:
		return effect{name: "start", run: r.boot}, true
	case vmm.Ensure:
		links, src, known, tried := r.facts.Links, r.state.Src, r.saved.booted, r.portTried
		return effect{name: "start", run: func(ctx context.Context, tell func(report)) {
			awaitPort(ctx, tried)
			if known || r.saveAgain(ctx, tell) {
				r.ensure(ctx, links, src, tell)
			}
		}}, true
	case vmm.Apply:
		return r.applyEffect(e), true
	case vmm.Check:
		if e.Server {
			r.askServer.Store(true) // whichever look comes next
		}
		incarnation := r.facts.Incarnation
		return effect{name: checking, joins: true, run: func(ctx context.Context, tell func(report)) {
			r.check(ctx, e, incarnation, tell)
		}}, true
	case vmm.Ask:
		put := r.put
		if e.Action == vmm.AskReboot {
			put = r.putOnce
		}
		return effect{name: "ask " + string(e.Action), after: e.After, run: func(ctx context.Context, tell func(report)) {
			put(ctx, e, tell)
		}}, true
	case vmm.Watch:
		return effect{name: "watch", run: r.observe}, true
	case vmm.Publish:
		return effect{name: publishing, after: e.After, outlives: true, run: func(ctx context.Context, tell func(report)) {
			r.offer(ctx, e.Bare, tell)
		}}, true
	}
	return effect{}, false
}

// Kinds of effects that are named in more places than one.
const (
	checking   = "check"
	publishing = "publish"
	collecting = "collect"
)

// running is one effect under way.
type running struct{ cancel context.CancelFunc }

// report is what an effect reports. Reports of a superseded effect are dropped.
type report struct {
	name string
	from *running
	in   vmm.Input
	then func(*Runner) // runs in the loop before the step; may be nil
	// over is set in the last report of an effect, which has no input.
	over bool
}

// start starts an effect, in the place of one of its kind that is under way.
func (r *Runner) start(e effect) {
	if was := r.under[e.name]; was != nil {
		if e.joins {
			r.again.Store(true)
			return
		}
		was.cancel()
	}
	parent := r.work
	if e.outlives {
		parent = r.host.Life
	}
	ctx, cancel := context.WithCancel(parent)
	now := &running{cancel}
	r.under[e.name] = now
	go func() {
		defer cancel()
		if pause(ctx, e.after) {
			e.run(ctx, func(m report) {
				m.name, m.from = e.name, now
				r.send(m)
			})
		}
		r.send(report{name: e.name, from: now, over: true})
	}()
}

// end ends an effect; its later reports are dropped.
func (r *Runner) end(name string) {
	if was := r.under[name]; was != nil {
		was.cancel()
		delete(r.under, name)
	}
}

// pause waits, and reports false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send gives a report to the loop and waits until it was taken, or the loop has ended.
func (r *Runner) send(m report) {
	select {
	case r.reports <- m:
	case <-r.ended:
	}
}

// hear handles a report. Reports of the watchdog that have arrived by then come
// first: the return of a start requests a removal after all those that have begun,
// so they must be known.
func (r *Runner) hear(m report) {
	for len(r.guard) > 0 {
		r.apply(<-r.guard, nil)
	}
	if m.from != nil && r.under[m.name] != m.from {
		return
	}
	if m.over {
		delete(r.under, m.name)
		if m.name == checking && r.again.Swap(false) {
			r.apply(vmm.ZoneChanged{}, nil) // a hint arrived after the last look
		}
		return
	}
	if m.then != nil {
		m.then(r)
	}
	if m.in != nil {
		r.apply(m.in, nil)
	}
}

// perform carries out one effect, or starts it if it takes time. Deadlines were
// armed before (see commit).
func (r *Runner) perform(e vmm.Effect, caller *request) {
	if failpoint.Enabled {
		failpoint.Here(fmt.Sprintf("effect/%T", e))
	}
	if ask, ok := e.(vmm.Ask); ok && ask.Action == vmm.AskStop {
		r.end("ask " + string(vmm.AskRun))
		r.end("ask " + string(vmm.AskReboot))
	}
	if timed, ok := r.effectOf(e); ok {
		r.start(timed)
		return
	}
	switch e := e.(type) {
	case vmm.Remove:
		r.host.Guard.Remove(r.id.String(), e.N)
	case vmm.Disown:
		r.end(publishing)
	case vmm.Forget:
		r.forgotten = true
	case vmm.Answer:
		r.reply(e.To, caller, answer{record: r.view.Load().state.Record})
	case vmm.Hold:
		r.hold(e.As, caller)
	case vmm.Refuse:
		r.reply(e.To, caller, answer{err: r.refusal(e)})
	}
}

func (r *Runner) refusal(e vmm.Refuse) error {
	if e.ByPropolis && r.rebootErr != nil {
		return r.rebootErr
	}
	return &vmm.Refusal{Reason: e.Reason, Detail: e.Detail}
}
