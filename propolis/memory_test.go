package propolis

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A memory is a Propolis server in a synctest bubble, connected by pipes. answer is called
// for each poll with its generation.
type memory struct {
	client *Client
	// refuse makes connections fail with ECONNREFUSED.
	refuse  atomic.Bool
	trouble atomic.Int64 // the errno of dials that fail otherwise; 0 for none
	polls   atomic.Int64
	givenUp atomic.Int64 // calls that the client canceled
	mu      sync.Mutex
	asked   []uint64 // the generations of all calls
	// dialFault decides on each dial, unless it is nil.
	dialFault func() error
	dials     atomic.Int64
	open      atomic.Int64 // connections not yet closed by the client
	most      atomic.Int64 // the maximum of open
	took      atomic.Int64 // the maximum read from one answer
	accept    chan net.Conn
	done      chan struct{}
	started   time.Time
}

// inMemory runs test in a bubble with a server that speaks HTTP.
func inMemory(t *testing.T, answer func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request), test func(*testing.T, *memory)) {
	t.Helper()
	serve := func(m *memory) func() {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.polls.Add(1)
			var body struct{ Gen uint64 }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Errorf("%s %s: %v", r.Method, r.URL, err)
			}
			m.mu.Lock()
			m.asked = append(m.asked, body.Gen)
			m.mu.Unlock()
			r.Body.Close() // lets the server notice that the client has disconnected
			answer(m, body.Gen, w, r)
			if r.Context().Err() != nil {
				m.givenUp.Add(1)
			}
		})}
		go server.Serve(m)
		return func() { server.Close() }
	}
	synctest.Test(t, func(t *testing.T) { inBubble(t, serve, test) })
}

// inMemoryRaw runs test in a bubble with a server that passes each connection to talk.
func inMemoryRaw(t *testing.T, talk func(net.Conn), test func(*testing.T, *memory)) {
	t.Helper()
	serve := func(m *memory) func() {
		go accept(m, talk)
		return func() { m.Close() }
	}
	synctest.Test(t, func(t *testing.T) { inBubble(t, serve, test) })
}

// inBubble runs test between serve and the function that serve returns.
func inBubble(t *testing.T, serve func(*memory) func(), test func(*testing.T, *memory)) {
	t.Helper()
	m := &memory{accept: make(chan net.Conn), done: make(chan struct{}), started: time.Now()}
	m.client = NewClient(netip.MustParseAddrPort("[::1]:1"), Options{Dial: m.dial})
	defer time.Sleep(2 * time.Minute) // sleep: in a bubble, until all other sleeps have ended
	defer serve(m)()
	test(t, m)
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if m.refuse.Load() {
		m.polls.Add(1)
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	if no := m.trouble.Load(); no != 0 {
		m.polls.Add(1)
		return nil, dialError(syscall.Errno(no))
	}
	if m.dialFault != nil {
		if err := m.dialFault(); err != nil {
			return nil, err
		}
	}
	client, server := net.Pipe()
	select {
	case m.accept <- server:
		m.dials.Add(1)
		atLeast(&m.most, m.open.Add(1))
		return &memoryConn{Conn: client, m: m, closed: sync.OnceFunc(func() { m.open.Add(-1) })}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func atLeast(most *atomic.Int64, n int64) {
	for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
	}
}

// A memoryConn counts what the client reads and notices when the client closes it.
type memoryConn struct {
	net.Conn
	m      *memory
	closed func()
	took   atomic.Int64 // since the last write
}

func (c *memoryConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	atLeast(&c.m.took, c.took.Add(int64(n)))
	return n, err
}

func (c *memoryConn) Write(b []byte) (int, error) {
	c.took.Store(0)
	return c.Conn.Write(b)
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

// wantAsked compares the polled generations, without heartbeats.
func (m *memory) wantAsked(t *testing.T, want ...uint64) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	got := slices.DeleteFunc(slices.Clone(m.asked), func(gen uint64) bool { return gen == 0 })
	if !slices.Equal(got, want) {
		t.Errorf("polled for %d, want %d", got, want)
	}
}

func (m *memory) since() time.Duration { return time.Since(m.started) }

// watch watches for at most d and returns the events, each as one word, with the
// generation for an observation.
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

// hang blocks a poll until its client cancels it.
func hang(r *http.Request) { <-r.Context().Done() }

// honest answers like Propolis with a VM that stays at gen.
func honest(gen uint64, s State) func(*memory, uint64, http.ResponseWriter, *http.Request) {
	return func(_ *memory, asked uint64, w http.ResponseWriter, r *http.Request) {
		if asked > gen {
			hang(r)
			return
		}
		say(w, gen, s)
	}
}
