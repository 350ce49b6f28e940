package propolis

import (
	"context"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// A WatchEvent is one thing that Watch has seen. At most one of Observation,
// Silent, Gone and NoInstance is set. The event with none of them says that the
// server answers again after it was Silent.
type WatchEvent struct {
	// Observation is the VM's state. Generations rise, except when the server
	// itself goes back. It is the receiver's to keep.
	Observation *Observation
	// Silent: the server answers not at all, or nothing that can be understood.
	// Watch goes on trying. The VM may be fine.
	Silent bool
	// Gone: connections were refused for GoneAfter. It is the last event.
	Gone bool
	// NoInstance: the server is up and has no VM. It is the last event.
	NoInstance bool
	// Err says why, with Silent, Gone and NoInstance.
	Err error
}

// Watch follows the VM's state and calls sink for what it sees, one event after
// the other, in the goroutine that called Watch. from is the first generation
// that the caller has not seen: 0 to be told the present state first.
//
// It is for a server that has a VM or is making one: before Ensure there is
// nothing to watch, and NoInstance is all it says.
//
// It returns when ctx ends, and after it has reported Gone, NoInstance or an
// Observation in state Destroyed or Failed. After ctx has ended sink is not
// called any more.
//
// The server does not answer while nothing changes, so once in a Heartbeat
// Watch asks for what it has seen last, which a server that lives answers at
// once. See WatchOptions for the times, and for how often it calls at most.
func (c *Client) Watch(ctx context.Context, from uint64, o WatchOptions, sink func(WatchEvent)) {
	w := newWatcher(c, from, o.withDefaults(), sink)
	for !w.ended {
		if !sleep(ctx, max(w.pause, w.pace.Reserve().Delay())) {
			return
		}
		obs, err := w.poll(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.failed(err)
		} else {
			w.answered(obs)
		}
	}
}

// A watcher is the state of one Watch. Only Watch's goroutine touches it.
type watcher struct {
	client *Client
	o      WatchOptions
	sink   func(WatchEvent)

	next    uint64       // the first generation not seen yet
	last    *Observation // nil until there was one
	probing bool         // the next poll asks for a sign of life
	silent  bool         // Silent was reported and not yet taken back
	ended   bool

	pause    time.Duration // before the next poll
	retry    *backoff.ExponentialBackOff
	pace     *rate.Limiter
	refusals refusals
}

func newWatcher(c *Client, from uint64, o WatchOptions, sink func(WatchEvent)) *watcher {
	// Generation 0 is always answered at once, so the first poll is a probe.
	return &watcher{client: c, o: o, sink: sink, next: from, probing: from == 0, retry: o.backoff(), pace: o.pace()}
}

// poll asks for the next generation, or, as a probe, for one that is there.
func (w *watcher) poll(ctx context.Context) (Observation, error) {
	gen, budget := w.next, w.o.heartbeat()
	if w.probing {
		gen, budget = max(w.next, 1)-1, w.o.PollBudget
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	return w.client.Monitor(ctx, gen)
}

func (w *watcher) answered(o Observation) {
	w.refusals = refusals{}
	if w.silent {
		w.silent = false
		w.sink(WatchEvent{})
	}
	news := w.isNews(o)
	progress := news && o.Gen >= w.next
	alive := w.probing && !news
	w.probing = false
	w.last = &o
	w.next = o.Gen + 1
	if o.Gen == math.MaxUint64 {
		w.next = o.Gen
	}
	switch {
	case progress:
		w.retry.Reset()
		w.pause = 0
	case alive:
		w.pause = 0
	default:
		w.pause = w.backOff()
	}
	if news {
		w.sink(WatchEvent{Observation: &o})
		w.ended = o.State.final()
	}
}

// isNews tells whether the caller has not been told of o. What it had seen
// before the watch began is known by its generation only.
func (w *watcher) isNews(o Observation) bool {
	if w.last == nil {
		return w.next == 0 || o.Gen != w.next-1
	}
	return !o.equal(*w.last)
}

func (w *watcher) failed(err error) {
	kind := KindOf(err)
	if kind == NoInstance {
		w.end(WatchEvent{NoInstance: true, Err: err})
		return
	}
	var refused time.Duration
	if kind == Unreachable {
		refused = w.refusals.note(time.Now(), w.o.longestGap())
	} else {
		w.refusals = refusals{}
	}
	if kind == Timeout && !w.probing {
		// Nothing has changed for a Heartbeat, which is what a healthy VM looks like.
		w.probing = true
		w.pause = 0
		w.retry.Reset()
		return
	}
	if w.probing && !w.silent {
		w.silent = true
		w.sink(WatchEvent{Silent: true, Err: err})
	}
	if kind == Unreachable && refused >= w.o.GoneAfter {
		w.end(WatchEvent{Gone: true, Err: err})
		return
	}
	w.probing = true
	w.pause = w.backOff()
}

func (w *watcher) end(e WatchEvent) {
	w.ended = true
	w.sink(e)
}

func (w *watcher) backOff() time.Duration {
	return min(max(w.retry.NextBackOff(), w.o.RetryMin), w.o.RetryMax)
}

// sleep returns false if ctx ended before d had passed.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
