package propolis

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A memory is a Propolis server inside a synctest bubble, behind connections
// that are pipes. answer is called for each poll with its generation.
type memory struct {
	client *Client
	// refuse makes connections fail as if nobody listened.
	refuse  atomic.Bool
	polls   atomic.Int64
	open    atomic.Int64 // connections that the client has not closed
	accept  chan net.Conn
	done    chan struct{}
	started time.Time
}

// inMemory runs test in a bubble.
func inMemory(t *testing.T, answer func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request), test func(*testing.T, *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{accept: make(chan net.Conn), done: make(chan struct{}), started: time.Now()}
		transport := newTransport(netip.AddrPort{})
		transport.DialContext = m.dial
		m.client = NewClient(netip.MustParseAddrPort("[::1]:1"), Options{Transport: transport})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.polls.Add(1)
			var body struct{ Gen uint64 }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Errorf("%s %s: %v", r.Method, r.URL, err)
			}
			r.Body.Close() // lets the server notice that the client has gone
			answer(m, body.Gen, w, r)
		})}
		go server.Serve(m)
		defer synctest.Wait()
		defer server.Close()
		defer m.client.Close()
		test(t, m)
	})
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if m.refuse.Load() {
		m.polls.Add(1)
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	select {
	case m.accept <- server:
		m.open.Add(1)
		return &memoryConn{Conn: client, closed: sync.OnceFunc(func() { m.open.Add(-1) })}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A memoryConn tells when the client closes it.
type memoryConn struct {
	net.Conn
	closed func()
}

func (c *memoryConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.accept:
		return conn, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.done); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{} }

func (m *memory) since() time.Duration { return time.Since(m.started) }

// watch watches for at most d and returns the events, each as one word with
// the generation of an observation.
func (m *memory) watch(t *testing.T, from uint64, o WatchOptions, d time.Duration) (words []string, at []time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	m.client.Watch(ctx, from, o, func(e WatchEvent) {
		words = append(words, word(t, e))
		at = append(at, m.since())
	})
	return words, at
}

func word(t *testing.T, e WatchEvent) string {
	var words []string
	if e.Observation != nil {
		words = append(words, fmt.Sprint(e.Observation.State, e.Observation.Gen))
	}
	for name, set := range map[string]bool{"silent": e.Silent, "gone": e.Gone, "no instance": e.NoInstance} {
		if set {
			words = append(words, name)
			if KindOf(e.Err) == 0 {
				t.Errorf("%s with error %v, want one with a kind", name, e.Err)
			}
		}
	}
	switch len(words) {
	case 0:
		return "back"
	case 1:
		return words[0]
	}
	t.Errorf("one event is %q", words)
	return ""
}

// say answers a poll.
func say(w http.ResponseWriter, gen uint64, s State) {
	fmt.Fprintf(w, `{"gen":%d,"state":%q,"migration":{"migration_in":null,"migration_out":null}}`, gen, s)
}

// hang keeps a poll until its client gives it up.
func hang(r *http.Request) { <-r.Context().Done() }

// honest answers like Propolis with a VM that has come to gen and stays there.
func honest(gen uint64, s State) func(*memory, uint64, http.ResponseWriter, *http.Request) {
	return func(_ *memory, asked uint64, w http.ResponseWriter, r *http.Request) {
		if asked > gen {
			hang(r)
			return
		}
		say(w, gen, s)
	}
}
