package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
)

const (
	// minRetry and maxRetry bound the time between two attempts.
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// troubles are the failed parts of the agent, which are retried. The agent keeps its
// VMMs' deadlines without them. They are logged and shown.
type troubles struct {
	log zerolog.Logger
	// changed is called with the current troubles after each change.
	changed func([]string)

	mu  sync.Mutex
	now map[string]string // errors by part
}

func newTroubles(log zerolog.Logger, changed func([]string)) *troubles {
	return &troubles{log: log, changed: changed, now: map[string]string{}}
}

// set records the outcome of an attempt. Only changes are logged.
func (t *troubles) set(part string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, was := t.now[part]
	switch {
	case err == nil && !was, err != nil && err.Error() == before:
		return
	case err == nil:
		delete(t.now, part)
		t.log.Info().Str("part", part).Msg("recovered")
	default:
		t.now[part] = err.Error()
		t.log.Error().Err(err).Str("part", part).Msg("part of the agent failed; will retry")
	}
	t.changed(t.list())
}

// all returns the current troubles as texts.
func (t *troubles) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list()
}

func (t *troubles) list() []string { return slices.Sorted(maps.Values(t.now)) }

// An outcome is that of a first attempt. err is valid once done is closed.
type outcome struct {
	done chan struct{}
	once sync.Once
	err  error
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

func (o *outcome) set(err error) {
	o.once.Do(func() {
		o.err = err
		close(o.done)
	})
}

// wait waits for first attempts, until the timeout at most, and returns their first
// error.
func wait(ctx context.Context, first []*outcome, timeout <-chan time.Time) error {
	for _, o := range first {
		select {
		case <-o.done:
			if o.err != nil {
				return o.err
			}
		case <-timeout:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// retry calls try until it succeeds or ctx ends, with growing pauses. first gets the
// outcome of the first call.
func (t *troubles) retry(ctx context.Context, part string, first *outcome, try func() error) {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(minRetry), backoff.WithMaxInterval(maxRetry),
		backoff.WithMaxElapsedTime(0))
	for {
		err := try()
		first.set(err)
		if ctx.Err() != nil {
			return
		}
		t.set(part, err)
		if err == nil {
			return
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}
