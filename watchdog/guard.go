package watchdog

import (
	"container/heap"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// A Target is what a deadline is kept for. Its methods are called from
// goroutines of the Guard's, for one removal in the order KillNow, Kill, Expired,
// Remove, Gone.
type Target interface {
	// KillNow sends the kill that every removal begins with, if that is one system
	// call through a handle that is open already, and reports whether it did. All that
	// are due at one moment are called one after the other on one thread, before
	// anything else is done: it must not wait, lock, or allocate.
	KillNow() bool
	// Kill is called if KillNow has not sent the kill. It does so by other means, and
	// does not wait for a process to end. What it could not do within ctx is left to
	// Remove.
	Kill(ctx context.Context)
	// Expired reports that the deadline of this epoch has passed and removal n has
	// begun. It returns at once.
	Expired(epoch, n uint64)
	// Remove removes it and returns when it is gone, or when ctx has ended. It is
	// never called while an earlier call is under way.
	Remove(ctx context.Context)
	// Gone reports that the Remove of removal n has returned with ctx alive. The
	// Guard is ready for another removal by then.
	Gone(n uint64)
}

// Guard keeps the deadlines and runs the removals. All methods are safe for
// concurrent use and return at once; arming and disarming take O(log n) of the
// number of armed deadlines.
type Guard struct {
	// Late is called with how late each deadline was noticed. It is set before the first
	// deadline is armed, must return at once, and may be nil.
	Late func(time.Duration)

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
	// begun is the number of the newest removal that was begun, wanted that of the
	// newest that was asked for.
	begun, wanted uint64
}

// A removal is one of an entry's, about to begin.
type removal struct {
	*entry
	n uint64
	// epoch is that of the deadline that has passed; due reports whether one has.
	epoch uint64
	due   bool
	// joined is set if an earlier removal was under way already.
	joined bool
	// killed is set if KillNow has sent the kill.
	killed bool
	// late is how late the deadline was noticed.
	late time.Duration
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
		return fmt.Errorf("wait for %d removals to return: %w", g.removing.Load(), context.Cause(ctx))
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

// Remove begins removal n of a target now and drops its deadline. Removals are
// numbered from 1; those begun by deadlines count. If removal n or a later one
// has begun, nothing more is done; one that is under way is waited for first.
func (g *Guard) Remove(name string, n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.targets[name]
	if e == nil {
		return
	}
	g.unarm(e)
	if n <= e.begun {
		return
	}
	e.wanted = n
	if !e.removing && g.ctx.Err() == nil {
		one := []removal{g.begin(e)}
		g.done.Go(func() {
			g.killNow(one, nil)
			g.run(one)
		})
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

// Stats returns how the Guard is doing.
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

// wait is the goroutine that waits for deadlines. Of Targets it calls only KillNow.
func (g *Guard) wait() {
	defer g.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []removal // what it has room for stays allocated
	var p preference
	for {
		var left time.Duration
		due, left = g.take(due[:0])
		g.fire(due, &p)
		clear(due) // nothing is kept alive by it
		if (len(due) > 0 || left <= early) && g.ctx.Err() == nil && isOver(left) {
			continue
		}
		p.end()
		if left > early {
			left -= early
		}
		timer.Reset(left)
		select {
		case <-g.ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// early is how long before a deadline the goroutine wakes up. The runtime of an idle process
// notices timers up to a millisecond late: epoll_wait counts in milliseconds.
const early = 2 * time.Millisecond

// oneMoment is how close deadlines follow each other that are kept in one go. Those of stops
// that were requested together are microseconds apart.
const oneMoment = 10 * time.Millisecond

// isOver waits for a time of up to oneMoment to be over, and reports false for a longer one. It
// keeps the processor: once the first processes end, the goroutine would wait long for its turn.
func isOver(left time.Duration) bool {
	begun := time.Now()
	for tries := 0; left <= oneMoment; tries++ {
		passed := time.Since(begun)
		if passed >= left {
			return true
		}
		if passed == 0 && tries > 1000 {
			return false // the time of a test's bubble passes only while all goroutines wait
		}
	}
	return false
}

// take appends everything that is due, and returns how long there is until the next
// deadline.
func (g *Guard) take(due []removal) ([]removal, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.armed) > 0 {
		e := g.armed[0]
		left := time.Until(e.at)
		if left > 0 {
			return due, left
		}
		heap.Pop(&g.armed)
		r := removal{entry: e, n: e.begun, joined: true}
		if !e.removing {
			r = g.begin(e)
		}
		r.due, r.epoch, r.late = true, e.epoch, -left
		due = append(due, r)
	}
	return due, time.Hour
}

// fire sends the kills of what is due at once, and begins its removals.
func (g *Guard) fire(due []removal, p *preference) {
	if len(due) == 0 || g.ctx.Err() != nil {
		return
	}
	g.killNow(due, p)
	for _, r := range due {
		g.fired.Add(1)
		g.latest.Store(max(g.latest.Load(), int64(r.late)))
		if g.Late != nil {
			g.Late(r.late)
		}
	}
	batch := slices.Clone(due)
	g.done.Go(func() { g.run(batch) })
}

// begin numbers a removal that begins. g.mu is held.
func (g *Guard) begin(e *entry) removal {
	e.begun = max(e.begun+1, e.wanted)
	e.removing = true
	return removal{entry: e, n: e.begun}
}

// run carries out the removals of one moment: the kills that are not sent yet, then the
// reports, then the removals.
func (g *Guard) run(batch []removal) {
	g.killAll(batch)
	for _, r := range batch {
		if r.due {
			r.target.Expired(r.epoch, r.n)
		}
		if !r.joined {
			g.removing.Add(1)
			g.done.Add(1)
			go g.remove(r)
		}
	}
}

const (
	// killers is how many goroutines send the kills of one moment. One is enough where a
	// kill is a signal; where it is a command, a Manager makes one of many that wait.
	killers = 64
	// killBudget is what one kill may take, killBound how long the removals of one
	// moment wait for its kills: one takes well below a millisecond, so what takes
	// longer hangs, and is left to its removal.
	killBudget = 2 * time.Second
	killBound  = 50 * time.Millisecond
)

// killNow sends the kills that are one system call each, in one pass of a thread that is
// preferred, unless p is nil, to those of the processes that end: they compete for the
// processor with kills that are not sent yet.
func (g *Guard) killNow(batch []removal, p *preference) {
	for i := range batch {
		if r := &batch[i]; !r.joined {
			p.here()
			g.guarded(r.entry, func() { r.killed = r.target.KillNow() })
		}
	}
}

// killAll sends the remaining kills of the removals that begin.
func (g *Guard) killAll(batch []removal) {
	batch = slices.DeleteFunc(slices.Clone(batch), func(r removal) bool { return r.joined || r.killed })
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(g.ctx, killBudget)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(killers, len(batch)) {
		all.Go(func() {
			for i := next.Add(1); i <= int64(len(batch)); i = next.Add(1) {
				r := batch[i-1]
				g.guarded(r.entry, func() { r.target.Kill(ctx) })
			}
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		cancel()
		close(done)
	}()
	bound := time.NewTimer(killBound)
	defer bound.Stop()
	select {
	case <-done:
	case <-bound.C:
	}
}

// remove runs removals of an entry until no further one is requested. One that
// panics is begun again: a defect must not keep a VM alive.
func (g *Guard) remove(r removal) {
	defer g.done.Done()
	defer g.removing.Add(-1)
	for g.ctx.Err() == nil {
		if !g.guarded(r.entry, func() { r.target.Remove(g.ctx) }) {
			select {
			case <-g.ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		g.mu.Lock()
		again := r.wanted > r.begun
		if again {
			r.begun = r.wanted
		}
		r.removing = again
		n := r.begun
		g.mu.Unlock()
		if !again {
			if g.ctx.Err() == nil {
				r.target.Gone(n)
			}
			return
		}
	}
}

// guarded reports whether do has returned without a panic.
func (g *Guard) guarded(e *entry, do func()) (returned bool) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error().Str("target", e.name).Interface("panic", p).Bytes("stack", debug.Stack()).
				Msg("removal panicked; it is begun again")
		}
	}()
	do()
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
