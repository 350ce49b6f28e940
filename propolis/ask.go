package propolis

import (
	"context"
	"time"
)

// moment is how long a poll may take to return what a heartbeat has shown.
const moment = time.Second

// An ask is one pending call to the monitor. Its goroutine ends with the answer.
type ask struct {
	gen    uint64    // the requested generation
	next   uint64    // the watcher's next when it was sent
	sent   time.Time // when it was or will be sent
	cancel context.CancelFunc
	answer chan outcome
}

// An outcome is the result of a call to the monitor.
type outcome struct {
	Observation
	err error
}

// ask requests a generation after a pause, which is longer if the pace demands it.
// budget bounds the call itself; 0 means no limit.
func (w *watcher) ask(ctx context.Context, gen uint64, pause, budget time.Duration) *ask {
	now := time.Now()
	pause = max(pause, w.pace.ReserveN(now, 1).DelayFrom(now))
	ctx, cancel := context.WithCancel(ctx)
	a := &ask{gen: gen, next: w.next, sent: now.Add(pause), cancel: cancel, answer: make(chan outcome, 1)}
	go func() {
		defer cancel()
		if pause > 0 && !sleep(ctx, pause) {
			a.answer <- outcome{err: ctx.Err()}
			return
		}
		if budget > 0 {
			var end context.CancelFunc
			ctx, end = context.WithTimeout(ctx, budget)
			defer end()
		}
		o, err := w.client.Monitor(ctx, gen)
		a.answer <- outcome{o, err}
	}()
	return a
}

// done returns the channel for the outcome, nil for a nil ask.
func (a *ask) done() <-chan outcome {
	if a == nil {
		return nil
	}
	return a.answer
}

// giveUp cancels the call and waits for its goroutine.
func (a *ask) giveUp() {
	if a != nil {
		a.cancel()
		<-a.answer
	}
}

// sleep waits for d and reports whether it passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
