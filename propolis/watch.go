package propolis

import (
	"context"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// A WatchEvent is an event reported by Watch. At most one of Observation, Silent, Gone and
// NoInstance is set. If none is set, the server answers again after Silent.
type WatchEvent struct {
	// Observation is the VM's state. Generations rise, unless the server itself goes
	// back. The receiver owns it.
	Observation *Observation
	// Silent: the server does not answer, or its answers are not understood. Watch keeps
	// trying. The VM may be fine.
	Silent bool
	// Gone: connections were refused for GoneAfter without another result in between. It
	// is the last event.
	Gone bool
	// NoInstance: the server is up and has no VM. It is the last event.
	NoInstance bool
	// Err is the reason for Silent, Gone and NoInstance.
	Err error
}

// Watch follows the VM's state and calls sink for each event, sequentially and in the
// caller's goroutine. from is the first generation that the caller has not seen; with 0
// the present state is reported first.
//
// The server must have a VM or be making one: before Ensure the only event would be
// NoInstance.
//
// Watch returns when ctx ends, and after it has reported Gone, NoInstance or an
// Observation in state Destroyed or Failed. After ctx has ended it does not call sink.
//
// The server does not answer a poll while nothing changes, and a canceled poll stays
// pending in the server until something changes: Propolis does not end a request whose
// client has disconnected. So there is one poll without a time limit. Once per Heartbeat
// Watch also requests the present state, on another connection; the server answers that
// at once. Both kinds of answers count equally. The poll is canceled only if it cannot
// return the next change: a heartbeat showed an older generation than was seen, or a newer
// one that the poll has not returned a moment later. WatchOptions describes the times and
// the limit on calls.
func (c *Client) Watch(ctx context.Context, from uint64, o WatchOptions, sink func(WatchEvent)) {
	w := newWatcher(c, from, o.withDefaults(), sink)
	defer w.close()
	for !w.ended {
		select {
		case <-ctx.Done():
			return
		case <-w.due.C:
			w.startHeartbeat(ctx)
		case r := <-w.beat.done():
			a := w.beat
			w.beat = nil
			if ctx.Err() == nil {
				w.heartbeatEnded(ctx, a, r)
			}
		case r := <-w.poll.done():
			a := w.poll
			w.poll = nil
			if ctx.Err() == nil {
				w.pollEnded(ctx, a, r)
			}
		}
	}
}

// A watcher is the state of one Watch, used only by Watch's goroutine.
type watcher struct {
	client *Client
	o      WatchOptions
	sink   func(WatchEvent)

	next   uint64       // the first generation not yet seen
	last   *Observation // nil before the first observation
	silent bool         // Silent was reported and the server has not answered since
	ended  bool

	poll, beat *ask        // nil if not pending
	due        *time.Timer // of the next heartbeat
	late       time.Time   // since when the poll is overdue with what a heartbeat showed

	retry    *backoff.ExponentialBackOff
	pace     *rate.Limiter
	refusals refusals
}

func newWatcher(c *Client, from uint64, o WatchOptions, sink func(WatchEvent)) *watcher {
	return &watcher{client: c, o: o, sink: sink, next: from, retry: o.backoff(), pace: o.pace(), due: time.NewTimer(0)}
}

func (w *watcher) close() {
	w.due.Stop()
	w.poll.giveUp()
	w.beat.giveUp()
}

// startHeartbeat requests the present state, which a server with a VM answers at once.
func (w *watcher) startHeartbeat(ctx context.Context) {
	w.beat = w.ask(ctx, 0, 0, w.o.PollBudget)
}

// startPoll polls for the next generation, after a pause.
func (w *watcher) startPoll(ctx context.Context, pause time.Duration) {
	w.late = time.Time{}
	w.poll = w.ask(ctx, w.next, pause, 0)
}

// scheduleHeartbeat schedules a heartbeat unless one is pending, which schedules the next.
func (w *watcher) scheduleHeartbeat(in time.Duration) {
	if w.beat == nil {
		w.due.Reset(in)
	}
}

func (w *watcher) heartbeatEnded(ctx context.Context, a *ask, r outcome) {
	if r.err != nil {
		w.failed(r.err)
		if !w.ended {
			w.reportSilent(r.err)
			w.scheduleHeartbeat(w.backOff())
		}
		return
	}
	w.answered()
	w.observe(r.Observation, a)
	in := w.o.heartbeat()
	switch {
	case w.ended:
		return
	case w.poll == nil:
		w.startPoll(ctx, 0)
	case w.poll.gen > w.next, !w.late.IsZero() && time.Since(w.late) >= moment:
		w.poll.giveUp()
		w.startPoll(ctx, 0)
	case w.poll.gen < w.next:
		if w.late.IsZero() {
			w.late = time.Now()
		}
		in = min(in, moment)
	case time.Since(w.poll.sent) > w.o.RetryMax:
		w.retry.Reset()
	}
	w.scheduleHeartbeat(in)
}

// pollEnded handles the end of a poll. A failed poll is repeated after a heartbeat has
// succeeded.
func (w *watcher) pollEnded(ctx context.Context, a *ask, r outcome) {
	if r.err != nil {
		w.failed(r.err)
		pause := time.Duration(0)
		if time.Since(a.sent) < w.o.RetryMax {
			pause = w.backOff()
		}
		w.scheduleHeartbeat(pause)
		return
	}
	w.answered()
	pause := time.Duration(0)
	switch {
	case !w.observe(r.Observation, a):
		pause = w.backOff()
	case r.Gen+1 == w.next:
		w.retry.Reset()
	}
	if !w.ended {
		w.startPoll(ctx, pause)
	}
}

// observe handles an observation. It reports whether there was progress: o is newer than
// the last one, or was overtaken by a newer one.
func (w *watcher) observe(o Observation, a *ask) bool {
	if o.Gen < w.next && a.next != w.next {
		return true // the other call was faster
	}
	news := w.isNews(o)
	progress := news && o.Gen >= w.next
	w.last = &o
	w.next = o.Gen + 1
	if o.Gen == math.MaxUint64 {
		w.next = o.Gen
	}
	if news {
		w.sink(WatchEvent{Observation: &o})
		w.ended = o.State.final()
	}
	return progress
}

// isNews reports whether o has not been reported. What the caller saw before the watch
// is known only by its generation.
func (w *watcher) isNews(o Observation) bool {
	if w.last == nil {
		return w.next == 0 || o.Gen != w.next-1
	}
	return !o.equal(*w.last)
}

// answered records that the server has answered.
func (w *watcher) answered() {
	w.refusals = refusals{}
	if w.silent {
		w.silent = false
		w.sink(WatchEvent{})
	}
}

// reportSilent records that the server did not answer a heartbeat.
func (w *watcher) reportSilent(err error) {
	if !w.silent {
		w.silent = true
		w.sink(WatchEvent{Silent: true, Err: err})
	}
}

// failed handles the error of a call. It ends the watch if the error proves that there is no
// VM.
func (w *watcher) failed(err error) {
	switch KindOf(err) {
	case NoInstance:
		w.end(WatchEvent{NoInstance: true, Err: err})
	case ConnRefused:
		if w.refusals.note(time.Now(), w.o.longestGap()) >= w.o.GoneAfter {
			w.reportSilent(err)
			w.end(WatchEvent{Gone: true, Err: err})
		}
	default:
		w.refusals = refusals{}
	}
}

func (w *watcher) end(e WatchEvent) {
	w.ended = true
	w.sink(e)
}

func (w *watcher) backOff() time.Duration {
	return min(max(w.retry.NextBackOff(), w.o.RetryMin), w.o.RetryMax)
}
