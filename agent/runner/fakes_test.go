package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
)

// The fakes around one Runner. Their calls return when the test lets them, and do their work
// at that moment; the steps of a removal except the last, and the removal's own looks, return
// at once, unless the world is slow.

var errFake = errors.New("it did not work")

// An outcome is the result of a call.
type outcome int

const (
	fails outcome = iota
	works
	lost // it succeeds, and its answer reports a possible failure
)

// A call is one in progress.
type call struct {
	name string
	let  chan outcome
	news func() bool
}

// wait blocks a call until the test lets it return. One that heeds its context also fails
// when that ends.
func (p *process) wait(ctx context.Context, name string, heeds bool, news func() bool) outcome {
	c := &call{name, make(chan outcome, 1), news}
	p.mu.Lock()
	p.calls = append(p.calls, c)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.calls = slices.DeleteFunc(p.calls, func(o *call) bool { return o == c })
		p.mu.Unlock()
	}()
	var done <-chan struct{}
	if heeds {
		done = ctx.Done()
	}
	select {
	case o := <-c.let:
		return o
	case <-done:
	case <-p.dead:
	}
	return fails
}

// do runs what with the world's lock held, if the process is alive.
func (p *process) do(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isDead() {
		what()
	}
}

func (p *process) isSlow() (slow bool) {
	p.do(func() { slow = p.slow })
	return slow
}

// zones is a zone.Manager of one zone.
type zones struct{ *process }

type ofEffect struct{} // context key that calls of a removal do not have

func (z zones) Recall(string, zone.Made)                  {}
func (z zones) List(context.Context) ([]zone.Info, error) { return nil, nil }

func (z zones) Look(ctx context.Context, name string) (i zone.Info, err error) {
	if (ctx.Value(ofEffect{}) != nil || z.isSlow()) && z.wait(ctx, "Look", true, nil) != works {
		return i, errFake
	}
	z.do(func() {
		if i = (zone.Info{Name: name, State: z.zone}); z.zone == zone.Running {
			i.Incarnation = string(rune('a' + z.boots))
		}
	})
	return i, nil
}

// Create and Boot may return long after their context has ended, and have succeeded.
func (z zones) Create(ctx context.Context, _ zone.Spec) (zone.Made, error) {
	z.do(func() {
		z.check(z.disk != nil && z.disk.State.Phase >= vmm.Booting, "a zone is made that is not on disk")
	})
	err := errFake
	o := z.wait(ctx, "Create", false, nil)
	z.do(func() {
		switch {
		case z.zone != zone.Absent:
			err = zone.ErrExists
		case o == works:
			z.zone, err = zone.Installed, nil
		default:
			z.zone, z.cause = zone.Incomplete, "it could not be made"
		}
	})
	return zone.Made{}, err
}

func (z zones) Boot(ctx context.Context, _ string) error {
	err := zone.ErrNotInstalled
	o := z.wait(ctx, "Boot", false, nil)
	z.do(func() {
		if o == works && z.zone == zone.Installed {
			z.zone, z.vm, z.gen, z.serves, err = zone.Running, "", 0, true, nil
			z.boots++
		} else {
			z.cause = "it could not be booted"
		}
	})
	return err
}

func (z zones) ServerFailed(ctx context.Context, _ string) (why string, err error) {
	if z.wait(ctx, "ServerFailed", true, nil) != works {
		return "", errFake
	}
	z.do(func() {
		if !z.serves {
			why, z.cause = "no process of it lives", "its server is dead"
		}
	})
	return why, nil
}

// step is one step of a removal.
func (z zones) step(ctx context.Context, name string, waits bool, do func()) error {
	if (waits || z.isSlow()) && z.wait(ctx, name, true, nil) != works {
		return errFake
	}
	z.do(do)
	return nil
}

func (z zones) becomes(was, is zone.State) func() {
	return func() {
		if z.zone == was {
			z.zone = is
		}
	}
}

func (z zones) Remove(ctx context.Context, rung zone.Rung, _ string) error {
	switch rung {
	case zone.RungKill:
		return z.step(ctx, "zone Kill", false, func() { z.serves = false })
	case zone.RungHalt:
		return z.step(ctx, "Halt", false, z.becomes(zone.Running, zone.Installed))
	case zone.RungUninstall:
		return z.step(ctx, "Uninstall", false, func() {
			z.becomes(zone.Installed, zone.Configured)()
			z.becomes(zone.Incomplete, zone.Configured)()
		})
	case zone.RungDelete:
		return z.step(ctx, "Delete", false, z.becomes(zone.Configured, zone.Absent))
	case zone.RungRelease:
		return z.step(ctx, "Release", true, func() {})
	}
	return nil
}

func (z zones) Tail(context.Context, string, int) ([]byte, error) { return nil, nil }

func (z zones) Watch(_ string, ended func(zone.End)) (stop func()) {
	mine := 0
	z.do(func() {
		z.watches++
		mine, z.ended = z.watches, ended
	})
	return func() {
		z.do(func() {
			if z.watches == mine {
				z.ended = nil
			}
		})
	}
}

// server is a Propolis. A dead one refuses connections.
type server struct{ *process }

func failed(kind propolis.Kind) error { return &propolis.Error{Op: "fake", Kind: kind} }

// ask is one call of the server.
func (s server) ask(ctx context.Context, name string, does func() propolis.Kind) error {
	o := s.wait(ctx, name, true, nil)
	kind := propolis.Canceled
	s.do(func() {
		if !s.serves {
			kind = propolis.ConnRefused
			return
		}
		if o != fails {
			kind = does()
		}
		if o != works {
			kind = propolis.Timeout
		}
	})
	if kind == 0 {
		return nil
	}
	return failed(kind)
}

func (s server) Ready(context.Context) (err error) {
	s.do(func() {
		if !s.serves {
			err = failed(propolis.ConnRefused)
		}
	})
	return err
}

func (s server) Instance(context.Context) (uuid.UUID, error) { return registration.InstanceID, nil }

func (s server) Ensure(ctx context.Context, _ propolis.EnsureRequest) error {
	err := s.ask(ctx, "Ensure", func() propolis.Kind {
		if s.vm != "" {
			return propolis.AlreadyInitialized
		}
		s.vm, s.gen = propolis.StateCreating, 1
		return 0
	})
	if k := propolis.KindOf(err); err != nil && k != propolis.AlreadyInitialized && ctx.Err() == nil {
		s.do(func() { s.cause = "Propolis did not take the VM" })
	}
	return err
}

func (s server) Put(ctx context.Context, a propolis.Action, _ time.Duration) error {
	return s.ask(ctx, "Put "+string(a), func() propolis.Kind {
		s.accepted[a] = true
		switch {
		case s.vm == "" || s.vm == propolis.StateDestroyed:
			return propolis.NoInstance
		case a == propolis.Stop:
			s.vm, s.gen = propolis.StateDestroyed, s.gen+1
		case a == propolis.Run && s.vm == propolis.StateCreating:
			s.vm, s.gen = propolis.StateRunning, s.gen+1
		case a == propolis.Reboot && s.vm == propolis.StateRunning:
			s.gen += 2
		}
		return 0
	})
}

// Watch reports the present state when the test lets it, if it is new, and silence when it
// is made to fail.
func (s server) Watch(ctx context.Context, _ uint64, _ propolis.WatchOptions, sink func(propolis.WatchEvent)) {
	var seen uint64
	news := func() bool { return s.gen != seen || !s.serves || s.vm == "" }
	for ctx.Err() == nil && !s.isDead() {
		e := propolis.WatchEvent{Silent: true, Err: errFake}
		if s.wait(ctx, "Watch", true, news) == works {
			s.do(func() { e = s.event() })
		}
		if ctx.Err() != nil || s.isDead() {
			return
		}
		sink(e)
		if e.Gone || e.NoInstance || e.Observation != nil && e.Observation.State == propolis.StateDestroyed {
			return
		}
		if e.Observation != nil {
			seen = e.Observation.Gen
		}
	}
}

func (s server) event() propolis.WatchEvent {
	switch {
	case !s.serves:
		s.cause = "its server has gone"
		return propolis.WatchEvent{Gone: true, Err: errFake}
	case s.vm == "":
		s.cause = "its server has lost it"
		return propolis.WatchEvent{NoInstance: true, Err: errFake}
	case s.vm == propolis.StateDestroyed:
		s.cause = "Propolis reported its end"
	}
	s.ran = s.ran || s.vm == propolis.StateRunning
	return propolis.WatchEvent{Observation: &propolis.Observation{Gen: s.gen, State: s.vm}}
}

func (s server) Snapshot(context.Context, string, uuid.UUID) error { return nil }

// nexus receives records.
type nexus struct{ *process }

func (n nexus) Put(ctx context.Context, _ uuid.UUID, r vmm.Record) publish.Answer {
	if ctx.Err() != nil {
		return publish.Answer{Err: ctx.Err()} // nothing is sent
	}
	<-n.made
	n.do(func() {
		n.offers++
		n.check(n.offers == 1, "two offers at once")
		// An unregister may be visible already and its Disown not yet performed. Then this
		// offer is cancelled: judgeSaved.
		last := n.offered
		n.check(r.VMM.Gen > last.Gen || r.VMM == last, "generation %d (%s) is offered after %d (%s)",
			r.VMM.Gen, r.VMM.State, last.Gen, last.State)
		n.offered = r.VMM
	})
	o := n.wait(ctx, "Nexus", true, nil)
	n.do(func() { n.offers-- })
	if o != works {
		return publish.Answer{Err: errFake}
	}
	return publish.Answer{Verdict: publish.Acked}
}

// journal is a ledger of one VMM. One entry is written at a time, and what is saved in
// between is the next. A failed write is retried.
type journal struct{ *process }

type change struct {
	entry   *ledger.Entry // nil: dropped
	index   int           // in world.saves
	waiting []chan<- error
	since   time.Time
	again   bool
}

// kept is what the loop has saved; the progress of a removal is saved in addition.
type kept struct {
	vmm.State
	boot string
}

func (j journal) Save(_ uuid.UUID, e ledger.Entry) <-chan error {
	done := make(chan error, 1)
	j.do(func() {
		is := kept{e.State, e.Zone.Incarnation}
		if len(j.saves) == 0 || j.saves[len(j.saves)-1] != is {
			j.saves = append(j.saves, is)
		} else if j.writing == nil {
			j.disk = &e // only the progress of the removal
			done <- nil
			return
		}
		j.put(&e, done)
	})
	return done
}

func (j journal) Registration(uuid.UUID) (*vmm.Registration, error) { return registration, nil }

func (j journal) Drop(uuid.UUID, *vmm.Status) { j.do(func() { j.put(nil, make(chan error, 1)) }) }

func (w *world) put(e *ledger.Entry, done chan<- error) {
	c := &w.writing
	if *c != nil && !(*c).again {
		c = &w.next
	}
	if *c == nil {
		*c = &change{since: time.Now()}
	}
	(*c).entry, (*c).index, (*c).again = e, len(w.saves)-1, false
	(*c).waiting = append((*c).waiting, done)
}

// written ends the write in progress.
func (w *world) written(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.writing
	for _, done := range c.waiting {
		done <- err
	}
	c.waiting = nil
	w.failing = err
	switch {
	case err == nil:
		w.wrote = true
		w.disk, w.onDisk = c.entry, c.index
		w.writing, w.next = w.next, nil
	case w.next != nil:
		w.next.since = c.since
		w.writing, w.next = w.next, nil
	default:
		c.again = true
	}
}

func (j journal) Trouble() (err error) {
	j.do(func() {
		if j.writing != nil && (j.failing != nil || time.Since(j.writing.since) >= durableBudget) {
			err = &ledger.TroubleError{Since: j.writing.since, Err: errFake}
		}
	})
	return err
}

// target is the Runner as the watchdog's target. Goroutines that report removals may be
// delayed before they do.
type target struct{ *process }

// KillNow kills nothing: the fake zones have no handles.
func (t target) KillNow() bool {
	<-t.made
	return t.run.KillNow()
}

func (t target) Kill(ctx context.Context) {
	<-t.made
	t.do(func() {
		if t.begun.IsZero() {
			t.begun = time.Now()
		}
		t.check(t.cause != "", "it is removed, and nothing has ended it")
	})
	t.run.Kill(ctx)
}

func (t target) Remove(ctx context.Context) {
	<-t.made
	t.run.Remove(ctx)
}

func (t target) Expired(epoch, n uint64) {
	if t.wait(context.Background(), fmt.Sprint("Expired ", n), false, nil) == works {
		t.run.Expired(epoch, n)
	}
}

func (t target) Gone(n uint64) {
	if t.wait(context.Background(), fmt.Sprint("Gone ", n), false, nil) == works {
		t.run.Gone(n)
	}
}
