package conns

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// minPause and maxPause bound the time between two tries to accept.
	minPause = 5 * time.Millisecond
	maxPause = time.Second
	// youth is how long a connection is kept in any case after it was accepted or last
	// answered, for a request to arrive. New connections wait for that.
	youth = 500 * time.Millisecond
)

// limit returns l with these options. Its Accept fails only once l is closed: accept(2)
// also reports errors of the network and of the whole host, which do not concern the
// listener. The server that uses it must be tracked.
func limit(l net.Listener, o Options) net.Listener {
	return &listener{Listener: l, o: o, conns: map[*conn]struct{}{}, changed: make(chan struct{}, 1), closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	o      Options
	closed chan struct{}
	once   sync.Once
	// changed has a token when there may be room again.
	changed chan struct{}

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.accept()
	if err != nil {
		return nil, err
	}
	for {
		if c, ok := l.admit(raw); ok {
			return c, nil
		}
		select {
		case <-l.changed:
		case <-time.After(youth / 10):
		case <-l.closed:
			_ = raw.Close() // so that its client notices
			return nil, net.ErrClosed
		}
	}
}

// accept retries until it has accepted a connection. It logs the first failure and the
// end of the failures.
func (l *listener) accept() (net.Conn, error) {
	pause, failures := minPause, 0
	for {
		raw, err := l.Listener.Accept()
		switch {
		case err == nil && failures > 0:
			l.o.Log.Info().Str("listener", l.o.Name).Int("failures", failures).Msg("accepting connections again")
			fallthrough
		case err == nil:
			return raw, nil
		case l.isClosed(), errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		case failures == 0:
			l.o.Log.Warn().Err(err).Str("listener", l.o.Name).Msg("failed to accept a connection; will retry")
		}
		failures++
		l.evict() // the cause may be a shortage of descriptors or memory
		select {
		case <-time.After(pause):
		case <-l.closed:
			return nil, net.ErrClosed
		}
		pause = min(2*pause, maxPause)
	}
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// admit adds a connection, if there is room for it or room can be made.
func (l *listener) admit(raw net.Conn) (net.Conn, bool) {
	l.mu.Lock()
	full := len(l.conns) >= l.o.Max
	l.mu.Unlock()
	if full && !l.evict() {
		return nil, false
	}
	c := &conn{Conn: raw, l: l, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c, true
}

// evict closes the least valuable connection and reports whether one could be closed.
func (l *listener) evict() bool {
	l.mu.Lock()
	var victim *conn
	old := time.Now().Add(-youth)
	for c := range l.conns {
		if c.phase != serving && !c.since.After(old) && (victim == nil || c.before(victim)) {
			victim = c
		}
	}
	delete(l.conns, victim)
	l.mu.Unlock()
	if victim == nil {
		return false
	}
	_ = victim.Conn.Close() // its server closes it again
	return true
}

// forget removes a connection.
func (l *listener) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.wake()
}

func (l *listener) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}
