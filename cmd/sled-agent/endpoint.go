package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// An endpoint is where one of the agent's servers listens. The listener is
// recreated if creating it fails or if it ends.
type endpoint struct {
	// key is the configuration key; it names the endpoint in logs.
	key    string
	listen func() (net.Listener, error)
	// serve returns an error when the listener ends, and nil when the server ends.
	serve func(net.Listener) error
	// serving is called with the address of each new listener.
	serving func(net.Addr)
}

var errListenerClosed = errors.New("listener was closed")

// keep listens and serves until the server ends, then calls done. It returns the
// outcome of the first attempt to listen.
func (e endpoint) keep(ctx context.Context, t *troubles, done func()) *outcome {
	first := newOutcome()
	go func() {
		defer done()
		for ctx.Err() == nil {
			var l net.Listener
			t.retry(ctx, e.key, first, func() (err error) {
				if l, err = e.listen(); err != nil {
					return fmt.Errorf("%s: %w", e.key, err)
				}
				return nil
			})
			if l == nil {
				return // ctx ended
			}
			e.serving(l.Addr())
			err := e.serve(l)
			if err == nil {
				return
			}
			if errors.Is(err, net.ErrClosed) {
				err = errListenerClosed
			}
			t.set(e.key, fmt.Errorf("%s: %w", e.key, err))
		}
	}()
	return first
}
