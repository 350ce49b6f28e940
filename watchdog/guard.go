package watchdog

import (
	"container/heap"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// A Target is what a deadline is kept for. Its methods are called from
// goroutines of the Guard's.
type Target interface {
	// Remove removes it and returns when it is gone, or when ctx has ended. It
	// is never called while an earlier call is under way. It takes aim with its
	// Salvo, kills, tells the Salvo so, and waits for the Salvo before it does
	// anything that costs.
	Remove(ctx context.Context, salvo *Salvo)
	// Expired tells that the deadline of this epoch has passed. The removal has
	// begun, or had begun before.
	Expired(epoch uint64)
	// Gone tells that Remove has returned with ctx alive. The Guard is ready for
	// another removal by then.
	Gone()
}

// Guard keeps the deadlines and runs the removals. All methods are safe for
// concurrent use and return at once; arming and disarming take O(log n) of the
// number of armed deadlines.
type Guard struct {
	log    zerolog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	targets map[string]*entry
	armed   deadlines

	fired    atomic.Uint64
	removing atomic.Int64
	latest   atomic.Int64
}

// entry is one target. Guard.mu guards its fields.
type entry struct {
	name   string
	target Target
	epoch  uint64
	at     time.Time
	// index is the place in Guard.armed, -1 while no deadline is armed.
	index    int
	removing bool
}

// New starts a Guard. Close ends it.
func New(log zerolog.Logger) *Guard {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Guard{log: log, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), targets: map[string]*entry{}}
	g.done.Add(1)
	go g.wait()
	return g
}

// Close ends the waiting and the context of every removal, and waits for their
// goroutines until ctx ends. What has not been removed stays as it is.
func (g *Guard) Close(ctx context.Context) error {
	g.cancel()
	ended := make(chan struct{})
	go func() {
		g.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %d removals to let go: %w", g.removing.Load(), context.Cause(ctx))
	}
}

// Add makes a target known by name. A name that is known already keeps its target.
func (g *Guard) Add(name string, t Target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.targets[name] == nil {
		g.targets[name] = &entry{name: name, target: t, index: -1}
	}
}

// Drop forgets a target and its deadline. A removal under way goes on.
func (g *Guard) Drop(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.targets[name]; e != nil {
		g.unarm(e)
		delete(g.targets, name)
	}
}

// Arm sets a target's deadline in place of an earlier one. A time that has
// passed fires at once. An epoch that is not newer than the last one armed is
// ignored, so that deadlines may be armed out of order.
func (g *Guard) Arm(name string, epoch uint64, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.targets[name]
	if e == nil || epoch <= e.epoch {
		return
	}
	e.epoch, e.at = epoch, at
	if e.index < 0 {
		heap.Push(&g.armed, e)
	} else {
		heap.Fix(&g.armed, e.index)
	}
	if e.index == 0 {
		g.poke()
	}
}

// Disarm drops a target's deadline. One that has fired has fired.
func (g *Guard) Disarm(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.targets[name]; e != nil {
		g.unarm(e)
	}
}

// Remove begins a target's removal now, unless it is under way, and drops its deadline.
func (g *Guard) Remove(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.targets[name]; e != nil {
		g.unarm(e)
		if !e.removing {
			g.begin(e, nil)
		}
	}
}

// Stats is a look at the Guard's work.
type Stats struct {
	// Armed and Removing count deadlines and removals at this moment.
	Armed, Removing int
	// Fired counts deadlines that have passed since the start.
	Fired uint64
	// Latest is how late the latest of them was noticed.
	Latest time.Duration
}

// Stats tells how the Guard is doing.
func (g *Guard) Stats() Stats {
	g.mu.Lock()
	armed := len(g.armed)
	g.mu.Unlock()
	return Stats{Armed: armed, Removing: int(g.removing.Load()), Fired: g.fired.Load(),
		Latest: time.Duration(g.latest.Load())}
}

// unarm takes an entry out of the deadlines. g.mu is held.
func (g *Guard) unarm(e *entry) {
	if e.index >= 0 {
		heap.Remove(&g.armed, e.index)
	}
}

func (g *Guard) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// wait is the goroutine that waits for deadlines. It calls nothing of anybody's.
func (g *Guard) wait() {
	defer g.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(g.fire())
		select {
		case <-g.ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// fire begins the removal of everything that is due and tells how long there is
// until the next deadline.
func (g *Guard) fire() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	due, begun, next := g.due()
	salvo := newSalvo(begun)
	for _, e := range due {
		if !e.removing {
			g.begin(e, salvo)
		}
		g.done.Add(1)
		go g.tell(e.target, e.epoch, salvo)
	}
	return next
}

// due takes out every deadline that has passed, and tells how many removals
// begin with them and how long there is until the next. g.mu is held.
func (g *Guard) due() (due []*entry, begun int, next time.Duration) {
	for len(g.armed) > 0 {
		e := g.armed[0]
		left := time.Until(e.at)
		if left > 0 {
			return due, begun, left
		}
		heap.Pop(&g.armed)
		g.fired.Add(1)
		g.latest.Store(max(g.latest.Load(), int64(-left)))
		due = append(due, e)
		if !e.removing {
			begun++
		}
	}
	return due, begun, time.Hour
}

// tell tells a target of its deadline once the killing is over: what the target
// does about it must not be in the others' way.
func (g *Guard) tell(t Target, epoch uint64, salvo *Salvo) {
	defer g.done.Done()
	salvo.Wait(g.ctx)
	t.Expired(epoch)
}

// begin starts a removal's goroutine. g.mu is held.
func (g *Guard) begin(e *entry, salvo *Salvo) {
	if g.ctx.Err() != nil {
		return
	}
	e.removing = true
	g.removing.Add(1)
	g.done.Add(1)
	go g.remove(e, salvo)
}

// remove runs one removal to its end. One that panics is begun again: a defect
// in it must not be the reason that a VM stays.
func (g *Guard) remove(e *entry, salvo *Salvo) {
	defer g.done.Done()
	for ; !g.attempt(e, salvo) && g.ctx.Err() == nil; salvo = nil {
		select {
		case <-g.ctx.Done():
		case <-time.After(time.Second):
		}
	}
	g.removing.Add(-1)
	g.mu.Lock()
	e.removing = false
	g.mu.Unlock()
	if g.ctx.Err() == nil {
		e.target.Gone()
	}
}

func (g *Guard) attempt(e *entry, salvo *Salvo) (returned bool) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error().Str("target", e.name).Interface("panic", p).Bytes("stack", debug.Stack()).
				Msg("removal panicked; it is begun again")
		}
	}()
	e.target.Remove(g.ctx, salvo)
	return true
}

// deadlines is a heap of entries by time.
type deadlines []*entry

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

func (d *deadlines) Push(x any) {
	e := x.(*entry)
	e.index = len(*d)
	*d = append(*d, e)
}

func (d *deadlines) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	e.index = -1
	return e
}
