package publish

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestEverythingIsDeliveredAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		const outage = 30 * time.Minute
		f := newFake(t, func(call) reply {
			switch d := time.Since(begin); {
			case d > outage:
				return reply{status: 204, after: 20 * time.Millisecond}
			case d < outage/3:
				return reply{status: 503}
			case d < 2*outage/3:
				return reply{reset: true}
			default:
				return reply{hang: true}
			}
		})
		p := start(t, f, nil)
		const n = 100
		res := make([]results, n)
		for i := range res {
			id := uuid.New()
			p.Offer(id, running(1), res[i].notify)
			time.Sleep(time.Second)
			p.Offer(id, record(2, vmm.WireStopping), res[i].notify)
			p.Offer(id, destroyed(3), res[i].notify)
		}
		// The last minute's hung PUTs, then one backoff.
		time.Sleep(time.Until(begin.Add(outage + 2*time.Minute)))
		for i := range res {
			if got := res[i].one(t); !got.Acked || got.Gen != 3 {
				t.Errorf("result is %+v", got)
			}
		}
		if _, acked := f.told(); len(acked) != n {
			t.Errorf("%d acknowledgements of %d records", len(acked), n)
		}
	})
}

func TestHungReplicaDoesNotHoldUpTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply {
			if c.base == nexus1 {
				return reply{hang: true}
			}
			return reply{status: 204, after: 5 * time.Millisecond}
		})
		p := start(t, f, func(c *Config) { c.Addresses = []string{nexus1, nexus2} })
		const n = 1000
		res := make([]results, n)
		for i := range res {
			p.Offer(uuid.New(), destroyed(1), res[i].notify)
		}
		time.Sleep(15 * time.Second) // one timeout, then 1,000 at 16 in 5 ms
		for i := range res {
			if got := res[i].one(t); !got.Acked || got.Attempts > 2 {
				t.Fatalf("result is %+v", got)
			}
		}
		for range 600 { // the hung one is asked again by one round in RetryMax at most
			p.Offer(uuid.New(), destroyed(1), nil)
			time.Sleep(time.Second)
		}
		calls, acked := f.told()
		if extra := len(calls) - len(acked); extra > 16+600/30+1 {
			t.Errorf("%d PUTs to the hung replica", extra)
		}
	})
}

// The healthy replica stumbles now and then; that must not send everybody to
// the one that hangs.
func TestStumblingReplicaBesideAHungOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		f := newFake(t, func(c call) reply {
			if n++; c.base == nexus1 {
				return reply{hang: true}
			}
			return reply{status: []int{204, 204, 503}[n%3], after: 5 * time.Millisecond}
		})
		p := start(t, f, func(c *Config) { c.Addresses = []string{nexus1, nexus2} })
		const seconds, burst = 120, 10
		for range seconds {
			for range burst {
				p.Offer(uuid.New(), destroyed(1), nil)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		hung := 0
		calls, acked := f.told()
		for _, c := range calls {
			if c.base == nexus1 {
				hung++
			}
		}
		if limit := 16 + (seconds+60)/30 + 1; hung > limit || len(acked) != seconds*burst {
			t.Errorf("%d PUTs to the hung replica, at most %d expected; %d acknowledged", hung, limit, len(acked))
		}
	})
}

func TestBothReplicasAreTriedInOneRound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{reset: c.base == nexus1, status: 503} })
		p := start(t, f, func(c *Config) { c.Addresses = []string{nexus1, nexus2} })
		p.Offer(uuid.New(), destroyed(1), nil)
		synctest.Wait()
		if calls, _ := f.told(); len(calls) != 2 || calls[0].base != nexus1 || calls[1].base != nexus2 {
			t.Errorf("first round: %+v", calls)
		}
		time.Sleep(time.Hour)
		count := map[string]int{}
		calls, _ := f.told()
		for _, c := range calls {
			count[c.base]++
		}
		if count[nexus1] < 60 || count[nexus2] < 60 {
			t.Errorf("in an hour the replicas were asked %v times", count)
		}
	})
}

func TestReplicaThatRecoversIsFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		f := newFake(t, func(c call) reply {
			if c.base == nexus1 && time.Since(begin) > time.Minute {
				return reply{status: 204}
			}
			return reply{reset: c.base == nexus1, status: 503}
		})
		p := start(t, f, func(c *Config) { c.Addresses = []string{nexus1, nexus2} })
		var res results
		p.Offer(uuid.New(), destroyed(1), res.notify)
		time.Sleep(3 * time.Minute)
		if got := res.one(t); !got.Acked {
			t.Errorf("result is %+v", got)
		}
	})
}

func TestTenThousandWaitCheaply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		p := start(t, f, func(c *Config) { c.Concurrency = 8 })
		before := runtime.NumGoroutine()
		for range 10_000 {
			p.Offer(uuid.New(), destroyed(1), nil)
		}
		for range 10 {
			time.Sleep(7 * time.Second)
			// Other tests run beside this one; ten thousand would stand out.
			if n := runtime.NumGoroutine() - before; n > 1000 {
				t.Fatalf("%d goroutines", n)
			}
		}
		synctest.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.most != 8 {
			t.Errorf("%d PUTs at once, want 8", f.most)
		}
		if st := p.Stats(); st.InFlight != 8 || st.Waiting != 10_000-8 {
			t.Errorf("stats are %+v", st)
		}
	})
}

// A few VMMs that always have something new do not keep the others from being
// served in their turn.
func TestTurnsAreFair(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{status: 204, after: time.Second} })
		p := start(t, f, func(c *Config) { c.Concurrency = 2 })
		var gen uint64
		busy := make([]uuid.UUID, 10)
		for i := range busy {
			busy[i] = uuid.New()
		}
		var quiet results
		for sec := range 60 {
			for _, id := range busy {
				gen++
				p.Offer(id, running(gen), nil)
			}
			if sec == 20 {
				p.Offer(uuid.New(), running(1), quiet.notify)
			}
			time.Sleep(time.Second)
			if sec == 20+8 && len(quiet.list()) == 0 {
				t.Error("a VMM waited for more than one turn of ten others")
			}
		}
	})
}

func TestServedInTheOrderOfOffers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{status: 204, after: time.Millisecond} })
		p := start(t, f, func(c *Config) { c.Concurrency = 1 })
		for gen := range uint64(100) {
			p.Offer(uuid.New(), running(gen), nil)
		}
		time.Sleep(time.Second)
		if got := f.gens(); len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("served in the order %v", got)
		}
	})
}
