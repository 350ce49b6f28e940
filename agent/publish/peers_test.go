package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestHungReplicaLeavesTheOtherItsPlaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply {
			if c.base == nexus1 {
				return reply{hang: true}
			}
			return reply{status: 204, after: 5 * time.Millisecond}
		})
		c := client(t, f, two)
		const n = 1000
		var as answers
		for range n {
			as.put(c, 1)
		}
		time.Sleep(5 * time.Second) // before any PUT to the hanging replica times out
		if got := as.acked(); got != n-8 {
			t.Errorf("%d of %d acknowledged beside a replica that hangs", got, n)
		}
		if st := c.Stats(); st.InFlight != 8 || st.Waiting != 0 {
			t.Errorf("stats are %+v", st)
		}
		as.wg.Wait()
		if got := as.acked(); got != n {
			t.Errorf("%d of %d acknowledged", got, n)
		}
		for range 600 { // the hanging one is not asked while the other answers
			c.Put(t.Context(), uuid.New(), destroyed(1))
			time.Sleep(time.Second)
		}
		calls, acked := f.received()
		if hung := len(calls) - len(acked); hung != 8 {
			t.Errorf("%d PUTs to the hung replica", hung)
		}
	})
}

// Occasional failures of the working replica do not send all calls to the hanging one.
func TestStumblesBesideAHungReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		f := newFake(t, func(c call) reply {
			if n++; c.base == nexus1 {
				return reply{hang: true}
			}
			return reply{status: []int{204, 204, 503}[n%3], after: 5 * time.Millisecond}
		})
		c := client(t, f, two)
		const seconds = 120
		var as answers
		for range seconds {
			for range 10 {
				as.put(c, 1)
			}
			time.Sleep(time.Second)
		}
		as.wg.Wait()
		hung := 0
		calls, _ := f.received()
		for _, c := range calls {
			if c.base == nexus1 {
				hung++
			}
		}
		if limit := 8 + seconds/30 + 1; hung > limit {
			t.Errorf("%d PUTs to the hung replica, at most %d expected", hung, limit)
		}
		if got := as.acked(); got < seconds*10/2 {
			t.Errorf("%d of %d acknowledged", got, seconds*10)
		}
	})
}

func TestHungReplicaThatRecoversIsFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		f := newFake(t, func(c call) reply {
			if c.base == nexus1 && time.Since(begin) > time.Minute {
				return reply{status: 204}
			}
			return reply{hang: c.base == nexus1, status: 503}
		})
		c := client(t, f, two)
		for time.Since(begin) < 3*time.Minute {
			if c.Put(t.Context(), uuid.New(), destroyed(1)).Verdict == Acked {
				return
			}
			time.Sleep(time.Second)
		}
		t.Error("never acknowledged")
	})
}

// If there is no other, replicas that gave no answer are asked.
func TestOnlyShunnedReplicasAreLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := true
		f := newFake(t, func(call) reply { return reply{reset: down, status: 204} })
		c := client(t, f, two)
		for range 3 {
			if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || a.Sent != 2 {
				t.Errorf("%+v", a)
			}
		}
		f.mu.Lock()
		down = false
		f.mu.Unlock()
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked || a.Sent != 1 {
			t.Errorf("%+v", a)
		}
	})
}

func TestPlacesAreGivenInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{status: 204, after: time.Millisecond} })
		c := client(t, f, func(cfg *Config) { cfg.Concurrency = 1 })
		var as answers
		for gen := range uint64(100) {
			as.put(c, gen)
			synctest.Wait()
		}
		as.wg.Wait()
		if got := f.gens(); len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("served in the order %v", got)
		}
	})
}

// Ten thousand waiting calls hold no other resources.
func TestManyWaitInTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{status: 204, after: time.Millisecond} })
		c := client(t, f, two)
		const n = 10_000
		var as answers
		for range n {
			as.put(c, 1)
		}
		synctest.Wait()
		if st := c.Stats(); st.InFlight != 16 || st.Waiting != n-16 {
			t.Errorf("stats are %+v", st)
		}
		as.wg.Wait()
		if got := as.acked(); got != n || f.most != 16 {
			t.Errorf("%d acknowledged, %d at once", got, f.most)
		}
	})
}

// A place assigned at the moment in which its caller gives up is not lost.
func TestPlaceForACancelledCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ps := newPeers([]string{nexus1}, 1, time.Second)
		for range 100 {
			first, err := ps.acquire(t.Context(), new(round))
			if first == nil || err != nil {
				t.Fatal(first, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan *peer)
			go func() {
				p, _ := ps.acquire(ctx, new(round))
				done <- p
			}()
			synctest.Wait()
			cancel()
			ps.release(first, outcome{verdict: Acked, status: 204})
			if p := <-done; p != nil {
				ps.release(p, outcome{verdict: Acked, status: 204})
			}
			if waiting := ps.queue.len(); ps.busy != 0 || waiting != 0 {
				t.Fatalf("%d places are taken, %d wait", ps.busy, waiting)
			}
		}
	})
}

// Records with the end of a VMM wait less than others, which are not kept out by them.
func TestEndsGoFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ps := newPeers([]string{nexus1}, 1, time.Second)
		held, err := ps.acquire(t.Context(), new(round))
		if err != nil {
			t.Fatal(err)
		}
		var order strings.Builder // only the holder of the place writes
		var all sync.WaitGroup
		for _, r := range "rrrreeee" {
			all.Go(func() {
				p, err := ps.acquire(t.Context(), &round{end: r == 'e'})
				if err != nil {
					t.Error(err)
					return
				}
				order.WriteRune(r)
				ps.release(p, outcome{verdict: Acked, status: 204})
			})
			synctest.Wait()
		}
		ps.release(held, outcome{verdict: Acked, status: 204})
		all.Wait()
		if got, want := order.String(), "eeererrr"; got != want {
			t.Errorf("the order is %s, want %s", got, want)
		}
	})
}

func TestPick(t *testing.T) {
	t.Parallel()
	now := time.Now()
	// Notation of a peer: . works, s shunned, upper case or : full.
	for _, c := range []struct {
		peers, asked string
		well         bool
		start, want  int
	}{
		{"..", "", false, 0, 0},
		{"..", "", false, 1, 1},
		{"..", "0", true, 0, 1},
		{"..", "01", true, 0, over},
		{":.", "", false, 0, 1},
		{"::", "", false, 0, wait},
		{":.", "1", true, 0, wait},
		{"s.", "", false, 0, 1},
		{"s:", "", false, 0, wait},
		{"s.", "1", true, 0, over},
		{"ss", "", false, 1, 1},
		{"ss", "1", false, 1, 0},
		{"sS", "", false, 1, 0},
		{"SS", "", false, 0, wait},
		{"SS", "0", true, 0, over},
		{"Ss", "", false, 0, 1},
		{"S:", "1", true, 0, over},
		{"S.s", "", false, 2, 1},
	} {
		var all []*peer
		r := &round{well: c.well}
		for i, p := range c.peers {
			all = append(all, &peer{})
			if p == 's' || p == 'S' {
				all[i].shunned = now.Add(time.Second)
			}
			if p == ':' || p == 'S' {
				all[i].busy = 1
			}
			if strings.Contains(c.asked, fmt.Sprint(i)) {
				r.asked = append(r.asked, all[i])
			}
		}
		if got := pick(all, r, c.start, 1, now); got != c.want {
			t.Errorf("%+v: picked %d", c, got)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ replicas, concurrency, want int }{{0, 16, 16}, {1, 16, 16}, {2, 16, 8}, {3, 16, 5}, {3, 2, 1}} {
		if got := newPeers(make([]string, c.replicas), c.concurrency, 0).share; got != c.want {
			t.Errorf("share of %+v is %d", c, got)
		}
	}
}

func TestDefaultsAreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	if c.RequestTimeout != 10*time.Second || c.ShunFor != 30*time.Second || c.Concurrency != 16 {
		t.Errorf("defaults are %+v", c)
	}
}
