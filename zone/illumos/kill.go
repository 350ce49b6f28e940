package illumos

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/sledagent/sledagent/internal/command"
)

// pkill sends SIGKILL to all processes of zones with few commands: each looks at every process
// of the host, so one for each zone would take the square of their number, and all VMs may be
// due at once. Zones whose kill is asked for while maxPkills commands run share the next one.
// It is safe for concurrent use.
type pkill struct {
	commands *command.Set
	// ctx ends the commands, background are the goroutines that run them.
	ctx        context.Context
	background *sync.WaitGroup

	mu      sync.Mutex
	waiting []*killing
	running int
}

// A killing is the kill of one zone. Its result is sent once.
type killing struct {
	zone string
	done chan error
}

const (
	// maxPkills is how many commands run at once, so that one that hangs holds up no other zone.
	maxPkills = 4
	// maxKilled is how many zones one command kills. Their names are at most 6.4 KB.
	maxKilled = 100
)

// kill kills one zone. When ctx ends it returns; a command that runs then continues.
func (p *pkill) kill(ctx context.Context, zone string) error {
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
		p.run(batch)
	}
}

// run kills a batch. If one of its zones is not active, pkill kills none and exits with 2: it
// is tried again in halves.
func (p *pkill) run(batch []*killing) {
	names := make([]string, len(batch))
	for i, k := range batch {
		names[i] = k.zone
	}
	err := p.commands.Run(p.ctx, command.Call{Argv: []string{"pkill", "-9", "-z", strings.Join(names, ",")}, For: names[0], Budget: quickBudget})
	if half := len(batch) / 2; half > 0 && command.Exit(err) == 2 {
		p.run(batch[:half])
		p.run(batch[half:])
		return
	}
	if command.Exit(err) == 1 { // no process matched
		err = nil
	}
	for _, k := range batch {
		k.done <- err
	}
}
