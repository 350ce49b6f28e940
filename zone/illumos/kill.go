package illumos

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/command"
)

// pkill sends SIGKILL to all processes of zones with few commands: each looks at every process
// of the host, so one for each zone would take the square of their number, and all VMs may be
// due at once. Zones whose kill is asked for while maxPkills commands run share the next one.
// One that gives no answer costs the others patience: each is then killed by a command of its
// own, of which maxAlone run at once. It is safe for concurrent use.
type pkill struct {
	commands *command.Set
	// ctx ends the shared commands, background are the goroutines that run them.
	ctx        context.Context
	background *sync.WaitGroup
	// patience is how long a kill waits for a shared command.
	patience time.Duration
	// alone has a token for each command of one zone's own.
	alone chan struct{}

	mu      sync.Mutex
	waiting []*killing
	running int
}

// A killing is the kill of one zone by a shared command. Its result is sent once.
type killing struct {
	zone string
	done chan error
}

const (
	// maxPkills is how many shared commands run at once.
	maxPkills = 4
	// maxKilled is how many zones one command kills. Their names are at most 6.4 KB.
	maxKilled = 100
	// maxAlone is how many other commands run at once.
	maxAlone = 16
	// sharedTime is pkill.patience: many times what a command takes, and less than half of a
	// kill's budget.
	sharedTime = 700 * time.Millisecond
	// pkillBudget is what a shared command may take: a kill's budget. One that is slow still
	// kills those that no longer wait for it.
	pkillBudget = 2 * time.Second
)

func newPkill(ctx context.Context, commands *command.Set, background *sync.WaitGroup) *pkill {
	return &pkill{commands: commands, ctx: ctx, background: background, patience: sharedTime, alone: make(chan struct{}, maxAlone)}
}

// kill kills one zone. When ctx ends it returns; a shared command then continues.
func (p *pkill) kill(ctx context.Context, zone string) error {
	err := p.share(ctx, zone)
	if err == nil || command.Exit(err) > 0 || ctx.Err() != nil {
		return err
	}
	select {
	case p.alone <- struct{}{}:
		defer func() { <-p.alone }()
		return p.run(ctx, quickBudget, zone)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// share kills a zone by a command that it may share with others.
func (p *pkill) share(ctx context.Context, zone string) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	k := &killing{zone, make(chan error, 1)}
	p.mu.Lock()
	p.waiting = append(p.waiting, k)
	if p.running < maxPkills {
		p.running++
		p.background.Go(p.work)
	}
	p.mu.Unlock()
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(other *killing) bool { return other == k })
	return context.Cause(ctx)
}

// work runs commands until no zone waits.
func (p *pkill) work() {
	for {
		p.mu.Lock()
		n := min(len(p.waiting), maxKilled)
		batch := slices.Clone(p.waiting[:n])
		if p.waiting = slices.Delete(p.waiting, 0, n); n == 0 {
			p.running--
		}
		p.mu.Unlock()
		if n == 0 {
			return
		}
		p.together(batch)
	}
}

// together kills a batch. If one of its zones is not active, pkill kills none and exits with 2:
// it is tried again in halves.
func (p *pkill) together(batch []*killing) {
	names := make([]string, len(batch))
	for i, k := range batch {
		names[i] = k.zone
	}
	err := p.run(p.ctx, pkillBudget, names...)
	if half := len(batch) / 2; half > 0 && command.Exit(err) == 2 {
		p.together(batch[:half])
		p.together(batch[half:])
		return
	}
	for _, k := range batch {
		k.done <- err
	}
}

// run runs pkill.
func (p *pkill) run(ctx context.Context, budget time.Duration, zones ...string) error {
	err := p.commands.Run(ctx, command.Call{Argv: []string{"pkill", "-9", "-z", strings.Join(zones, ",")}, For: zones[0], Budget: budget})
	if command.Exit(err) == 1 { // no process matched
		return nil
	}
	return err
}
