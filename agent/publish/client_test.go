package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test under a fake clock. The bubble verifies that every goroutine has
// ended.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

// client returns a client with f as its transport, closed at the end of the test.
func client(t testing.TB, f *fakeNexus, change func(*Config)) *Client {
	cfg := Config{Addresses: []string{nexus1}}
	if change != nil {
		change(&cfg)
	}
	c := New(cfg)
	c.rt = f
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func closeClient(t testing.TB, c *Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

func two(c *Config) { c.Addresses = []string{nexus1, nexus2} }

// answers collects the results of concurrent Puts.
type answers struct {
	wg  sync.WaitGroup
	mu  sync.Mutex
	all []Answer
}

func (as *answers) put(c *Client, gen uint64) {
	as.wg.Go(func() {
		a := c.Put(context.Background(), uuid.New(), destroyed(gen))
		as.mu.Lock()
		defer as.mu.Unlock()
		as.all = append(as.all, a)
	})
}

func (as *answers) list() []Answer {
	as.mu.Lock()
	defer as.mu.Unlock()
	return slices.Clone(as.all)
}

func (as *answers) acked() (n int) {
	for _, a := range as.list() {
		if a.Verdict == Acked {
			n++
		}
	}
	return n
}

// Each answer of a single replica: its verdict, its error, and that it takes one PUT.
func TestAnswersOfOneReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, c := range []struct {
			reply   reply
			verdict Verdict
			err     string
		}{
			{reply{status: 204}, Acked, ""},
			{reply{status: 204, after: 9 * time.Second}, Acked, ""},
			{reply{hang: true}, CannotTell, "no answer within 10s"},
			{reply{reset: true}, CannotTell, "connection reset by peer"},
			{reply{status: 101}, CannotTell, "101 Switching Protocols"},
			{reply{status: 200, body: `{"ok":true}`}, CannotTell, "200 OK"},
			{reply{status: 202}, CannotTell, "202"},
			{reply{status: 307}, CannotTell, "307"},
			{reply{status: 400}, CannotTell, "400 Bad Request, without Nexus's error body"},
			{reply{status: 400, nexus: true}, Refused, `400 Bad Request: "Nexus says so"`},
			{reply{status: 403, body: "<html>"}, CannotTell, "403"},
			{reply{status: 404, body: "<html>"}, CannotTell, "404 Not Found, without Nexus's error body"},
			{reply{status: 404}, CannotTell, "404"},
			{reply{status: 404, nexus: true}, Unknown, `404 Not Found: "Nexus says so"`},
			{reply{status: 410}, CannotTell, "410"},
			{reply{status: 410, nexus: true}, Unknown, "410"},
			{reply{status: 409, nexus: true}, Refused, "409"},
			{reply{status: 408, nexus: true}, CannotTell, "408"},
			{reply{status: 429, nexus: true}, CannotTell, "429"},
			{reply{status: 500, nexus: true}, CannotTell, `500 Internal Server Error: "Nexus says so"`},
			{reply{status: 502, body: strings.Repeat("\x1b", maxAnswer)}, CannotTell, "502"},
			{reply{status: 600}, CannotTell, "600"},
		} {
			f := newFake(t, func(call) reply { return c.reply })
			cl := client(t, f, nil)
			a := cl.Put(t.Context(), uuid.New(), running(1))
			if a.Verdict != c.verdict || a.Sent != 1 || (a.Err == nil) != (c.verdict == Acked) {
				t.Errorf("%+v gives %+v, want %q", c.reply, a, c.verdict)
			}
			if a.Err != nil && (!strings.Contains(a.Err.Error(), c.err) || strings.Contains(a.Err.Error(), "\x1b")) {
				t.Errorf("%+v: error is %q, want %q", c.reply, a.Err, c.err)
			}
			want := c.reply.status
			if c.reply.hang || c.reply.reset {
				want = 0
			}
			if a.Status != want {
				t.Errorf("%+v: status is %d, want %d", c.reply, a.Status, want)
			}
			st := cl.Stats()
			if st != (Stats{Acked: st.Acked, CannotTell: st.CannotTell, Unknown: st.Unknown, Refused: st.Refused}) ||
				[]uint64{st.CannotTell, st.Acked, st.Unknown, st.Refused}[c.verdict] != 1 {
				t.Errorf("%+v: stats are %+v", c.reply, st)
			}
		}
	})
}

// An error page of an ingress at one replica makes the same round try the next one.
func TestNextReplicaInTheSameRound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, first := range []reply{{hang: true}, {reset: true}, {status: 503}, {status: 404}, {status: 410}, {status: 403},
			{status: 429}, {status: 200}, {status: 101}} {
			f := newFake(t, func(c call) reply {
				if c.base == nexus1 {
					return first
				}
				return reply{status: 204}
			})
			c := client(t, f, two)
			if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked || a.Sent != 2 || a.Err != nil {
				t.Errorf("after %+v: %+v", first, a)
			}
			if a := c.Put(t.Context(), uuid.New(), running(1)); a.Sent != 1 {
				t.Errorf("after %+v the next round began there again: %+v", first, a)
			}
		}
	})
}

// A replica that refuses a VMM's record, rightly or not, does not keep the other one
// from acknowledging it in the next round.
func TestRefusalTurnsToTheOtherReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, status := range []int{400, 404, 409, 410} {
			id := uuid.New()
			f := newFake(t, func(c call) reply {
				if c.base == nexus1 && c.id == id {
					return reply{status: status, nexus: true}
				}
				return reply{status: 204}
			})
			c := client(t, f, func(cfg *Config) { cfg.Addresses = []string{nexus1 + "/", nexus2} })
			first := c.Put(t.Context(), id, destroyed(1))
			if first.Verdict != verdictOf(status, true) || first.Sent != 1 {
				t.Errorf("%d: %+v", status, first)
			}
			for range 3 { // The first replica acknowledges other VMMs' records.
				c.Put(t.Context(), uuid.New(), running(1))
			}
			if a := c.Put(t.Context(), id, destroyed(1)); a.Verdict != Acked || a.Sent != 1 {
				t.Errorf("%d, second round: %+v", status, a)
			}
		}
	})
}

// A cancelled call says nothing about the replica, and its place is free at once.
func TestCallerGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log, lines := logTo()
		f := newFake(t, func(c call) reply { return reply{status: 204, hang: c.gen == 1} })
		c := client(t, f, func(cfg *Config) { two(cfg); cfg.Concurrency, cfg.Log = 2, log })
		cause := errors.New("VMM was unregistered")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var wg sync.WaitGroup
		for i := range 3 { // Two calls hang at a replica each, one waits for a place.
			wg.Go(func() {
				a := c.Put(ctx, uuid.New(), running(1))
				if a.Verdict != CannotTell || !errors.Is(a.Err, cause) || a.Sent > 1 {
					t.Errorf("%d: %+v", i, a)
				}
			})
			synctest.Wait()
		}
		if st := c.Stats(); st.InFlight != 2 || st.Waiting != 1 {
			t.Errorf("stats are %+v", st)
		}
		cancel(cause)
		wg.Wait()
		if st := c.Stats(); st != (Stats{}) {
			t.Errorf("stats afterwards are %+v", st)
		}
		if a := c.Put(ctx, uuid.New(), running(2)); a.Sent != 0 || !errors.Is(a.Err, cause) {
			t.Errorf("a context that had ended: %+v", a)
		}
		for range 2 {
			if a := c.Put(t.Context(), uuid.New(), running(2)); a.Verdict != Acked || a.Sent != 1 {
				t.Errorf("afterwards: %+v", a)
			}
		}
		if got := lines(); len(got) != 0 {
			t.Errorf("logged %v", got)
		}
	})
}

// Calls with a context shorter than RequestTimeout are not sent to the hanging replica
// again and again.
func TestShortContextReachesTheOtherReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{hang: c.base == nexus1, status: 204} })
		c := client(t, f, two)
		for _, want := range []Verdict{CannotTell, Acked, Acked} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if a := c.Put(ctx, uuid.New(), running(1)); a.Verdict != want || a.Sent != 1 {
				t.Errorf("%+v, want %q", a, want)
			}
			cancel()
		}
	})
}

func TestCloseEndsEveryPut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		c := client(t, f, nil)
		var as answers
		for range 40 {
			as.put(c, 1)
		}
		synctest.Wait()
		before := time.Now()
		closeClient(t, c)
		closeClient(t, c)
		if took := time.Since(before); took != 0 {
			t.Errorf("Close took %v", took)
		}
		as.wg.Wait()
		as.put(c, 1)
		as.wg.Wait()
		for _, a := range as.list() {
			if a.Verdict != CannotTell || !errors.Is(a.Err, errClosed) {
				t.Errorf("%+v", a)
			}
		}
		if calls, _ := f.received(); len(calls) != 16 {
			t.Errorf("%d PUTs", len(calls))
		}
	})
}

// Close returns when its context ends, even if a PUT ignores its own.
func TestCloseDoesNotWaitForAStuckPUT(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{deaf: true, after: time.Hour, status: 204} })
		c := New(Config{Addresses: []string{nexus1}})
		c.rt = f
		var as answers
		as.put(c, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); err == nil {
			t.Error("Close does not report that a PUT was in progress")
		}
		as.wg.Wait()
	})
}

func TestNoNexus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := client(t, newFake(t, always(204)), func(cfg *Config) { cfg.Addresses = nil })
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || !errors.Is(a.Err, errNoNexus) || a.Sent != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestUnencodableRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := client(t, newFake(t, always(204)), nil)
		r := destroyed(1)
		r.VMM.Updated = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
		if a := c.Put(t.Context(), uuid.New(), r); a.Verdict != Refused || a.Err == nil || a.Sent != 0 {
			t.Errorf("%+v", a)
		}
	})
}
