package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns/connstest"
)

// A crowd is a server with in-memory connections, in a bubble.
type crowd struct {
	*connstest.Pipes
	t *testing.T
}

func inCrowd(t *testing.T, a api.Agent, o api.Options, test func(*crowd)) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{connstest.New(), t}
		server, done := api.New(a, o), make(chan error, 1)
		go func() { done <- server.Serve(c) }()
		test(c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // some requests never end
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An exchange is a request that may be sent in part.
type exchange struct {
	net.Conn
	answer chan answer
}

type answer struct {
	status int
	body   string
	took   time.Duration
}

// send sends a request with a Content-Length of length and the given part of its body.
func (c *crowd) send(method, path string, length int, body string) *exchange {
	ours := c.Connect(c.t)
	x, began := &exchange{ours, make(chan answer, 1)}, time.Now()
	go func() {
		_, _ = fmt.Fprintf(ours, "%s %s HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\nContent-Length: %d\r\n\r\n%s", method, path, length, body)
	}()
	go func() {
		got, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			x.answer <- answer{body: err.Error()}
			return
		}
		text, _ := io.ReadAll(got.Body)
		x.answer <- answer{got.StatusCode, string(text), time.Since(began)}
	}()
	return x
}

// do sends a whole request and returns its answer.
func (c *crowd) do(method, path, body string) answer {
	x := c.send(method, path, len(body), body)
	defer x.Close()
	return <-x.answer
}

// large returns a registration of the maximum size that is cheap to decode.
func large() string {
	body := newBody()
	return strings.Repeat(" ", limit-len(body)) + body
}

// Slowly sent bodies delay neither a registration nor a stop: the oldest of them lose
// their memory to others.
func TestSlowBodiesGiveUpTheirMemory(t *testing.T) {
	t.Parallel()
	inCrowd(t, &fakeAgent{}, api.Options{}, func(c *crowd) {
		var slow []*exchange
		for range 40 {
			slow = append(slow, c.send("PUT", vmmURL, 1_000_000, strings.Repeat(" ", 600_000)))
		}
		synctest.Wait()
		if got := c.do("PUT", stateURL, stateBody("stopped")); got.status != 200 || got.took != 0 {
			t.Errorf("a stop: %+v", got)
		}
		for range 2 {
			if got := c.do("PUT", vmmURL, large()); got.status != 200 || got.took > 3*time.Second {
				t.Errorf("a large registration that is sent at once: %d after %v: %.200s", got.status, got.took, got.body)
			}
		}
		var lost int
		for _, x := range slow {
			select {
			case got := <-x.answer:
				if got.status == 503 && strings.Contains(got.body, "too slowly") {
					lost++
				} else {
					t.Errorf("a slow body: %+v", got)
				}
			default:
			}
			_ = x.Close()
		}
		if lost == 0 || lost == len(slow) {
			t.Errorf("%d of %d slow bodies have lost their memory", lost, len(slow))
		}
		synctest.Wait()
		if got := c.do("PUT", vmmURL, large()); got.status != 200 || got.took != 0 {
			t.Errorf("a large registration afterwards: %+v", got)
		}
	})
}

// Any number of bodies that are sent quickly are all read, and the memory held at a time
// is bounded.
func TestManyLargeBodies(t *testing.T) {
	t.Parallel()
	inCrowd(t, &fakeAgent{}, api.Options{}, func(c *crowd) {
		var all []*exchange
		for range 40 { // more than fit into memory at a time
			all = append(all, c.send("PUT", vmmURL, 1<<20, large()))
		}
		for _, x := range all {
			if got := <-x.answer; got.status != 200 {
				t.Errorf("%+v", got)
			}
			_ = x.Close()
		}
	})
}

// slowLedger is an agent that takes a while to make a registration durable.
type slowLedger struct {
	fakeAgent
	mu        sync.Mutex
	now, most int
}

func (s *slowLedger) Register(context.Context, uuid.UUID, *vmm.Registration) (vmm.Record, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(1500 * time.Millisecond) // sleep: the time of the disk
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	return vmm.Record{}, nil
}

// TestLargeRegistrationsAreHeldWithinLimits: registrations that are not on disk yet
// count like bodies being read, and waiting for them does not count as slow sending.
func TestLargeRegistrationsAreHeldWithinLimits(t *testing.T) {
	t.Parallel()
	disk := &slowLedger{}
	inCrowd(t, disk, api.Options{}, func(c *crowd) {
		var all []*exchange
		for range 90 { // three times as many as fit
			all = append(all, c.send("PUT", vmmURL, 1<<20, large()))
		}
		for _, x := range all {
			if got := <-x.answer; got.status != 200 {
				t.Errorf("%+v", got)
			}
			_ = x.Close()
		}
	})
	if disk.most > 33 {
		t.Errorf("%d registrations of 1 MiB were held at a time", disk.most)
	}
}

// busy is an agent whose starts never return.
type busy struct {
	fakeAgent
	hold chan struct{}
}

func (b *busy) Run(ctx context.Context, _ uuid.UUID) error {
	select {
	case <-b.hold:
	case <-ctx.Done():
	}
	return nil
}

func (b *busy) State(uuid.UUID) (vmm.Record, error) { return vmm.Record{}, nil }

// Calls in progress, idle connections and incomplete requests do not delay a stop or a
// read.
func TestStopsAreNotDelayedByLoad(t *testing.T) {
	t.Parallel()
	agent := &busy{}
	inCrowd(t, agent, api.Options{Conns: 40}, func(c *crowd) {
		agent.hold = make(chan struct{})
		var open []net.Conn
		hold := func(x *exchange) { open = append(open, x.Conn) }
		run := stateBody("running")
		for range 30 { // the maximum
			hold(c.send("PUT", stateURL, len(run), run))
		}
		synctest.Wait()
		got := c.do("PUT", stateURL, run)
		if got.status != 503 || !strings.Contains(got.body, "too many calls") {
			t.Errorf("one start more: %+v", got)
		}
		for range 50 {
			hold(c.send("PUT", vmmURL, 100_000, "{"))
			hold(c.send("PUT", stateURL, 100, "{"))
		}
		synctest.Wait()
		for range 20 {
			if got := c.do("PUT", stateURL, stateBody("stopped")); got.status != 200 || got.took > time.Second {
				t.Errorf("a stop: %+v", got)
			}
			if got := c.do("GET", stateURL, ""); got.status != 200 || got.took > time.Second {
				t.Errorf("a read: %+v", got)
			}
			if got := c.do("DELETE", vmmURL, ""); got.status != 200 || got.took > time.Second {
				t.Errorf("an unregister: %+v", got)
			}
		}
		close(agent.hold)
		for _, conn := range open {
			_ = conn.Close()
		}
	})
}
