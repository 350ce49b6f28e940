package publish

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestModel makes random Puts, some of them cancelled, to replicas with random answers.
// Every Put ends in time with the verdict of what arrived, no replica exceeds its share,
// and no place is lost.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, runModel) })
}

func runModel(t *rapid.T) {
	script := rapid.SliceOfN(rapid.Custom(drawReply), 1, 40).Draw(t, "answers")
	n := 0
	f := newFake(t, func(call) reply { n++; return script[n%len(script)] })
	addresses := []string{nexus1, nexus2, "http://[::1]:12223"}[:rapid.IntRange(1, 3).Draw(t, "replicas")]
	c := New(Config{Addresses: addresses, Concurrency: rapid.IntRange(1, 7).Draw(t, "concurrency")})
	c.rt = f
	var puts []*modelPut
	var wg sync.WaitGroup
	for range rapid.IntRange(1, 40).Draw(t, "puts") {
		p := &modelPut{id: uuid.New(), timeout: time.Duration(rapid.IntRange(0, 600).Draw(t, "timeout")) * time.Second}
		puts = append(puts, p)
		wg.Go(func() { p.run(c) })
		time.Sleep(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond) // sleep: in a bubble
	}
	wg.Wait()
	for _, p := range puts {
		p.check(t, f, len(addresses))
	}
	share := max(1, c.cfg.Concurrency/len(addresses))
	if f.mostAt > share || f.most > max(c.cfg.Concurrency, len(addresses)) {
		t.Errorf("%d PUTs at once, %d at one replica, which has %d places", f.most, f.mostAt, share)
	}
	if st := c.Stats(); st.InFlight != 0 || st.Waiting != 0 {
		t.Errorf("something is still under way: %+v", st)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Errorf("%v", err)
	}
}

func drawReply(t *rapid.T) reply {
	return reply{
		status: rapid.SampledFrom([]int{204, 204, 204, 200, 302, 400, 404, 410, 429, 500, 503}).Draw(t, "status"),
		nexus:  rapid.Bool().Draw(t, "nexus"),
		hang:   rapid.IntRange(0, 9).Draw(t, "hang") == 0,
		reset:  rapid.IntRange(0, 9).Draw(t, "reset") == 0,
		after:  time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second,
	}
}

// A modelPut is one call of Put.
type modelPut struct {
	id      uuid.UUID
	timeout time.Duration // 0: unlimited
	answer  Answer
	took    time.Duration
}

func (p *modelPut) run(c *Client) {
	ctx := context.Background()
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	begun := time.Now()
	p.answer = c.Put(ctx, p.id, running(1))
	p.took = time.Since(begun)
}

func (p *modelPut) check(t *rapid.T, f *fakeNexus, replicas int) {
	arrived, acked := map[string]int{}, 0
	calls, all := f.received()
	for _, c := range calls {
		if c.id == p.id {
			arrived[c.base]++
		}
	}
	for _, c := range all {
		if c.id == p.id {
			acked++
		}
	}
	a := p.answer
	if p.timeout > 0 && p.took == p.timeout && a.Sent == len(arrived)+1 {
		a.Sent-- // the deadline passed before the last one was sent
	}
	switch {
	case a.Sent != len(arrived), a.Sent > replicas, (a.Verdict == Acked) != (acked == 1), (a.Err == nil) != (a.Verdict == Acked):
		t.Errorf("%+v, but %v arrived and %d were acknowledged", a, arrived, acked)
	case p.timeout > 0 && p.took > p.timeout:
		t.Errorf("took %v of %v", p.took, p.timeout)
	case p.timeout == 0 && a.Sent == 0:
		t.Errorf("never sent: %+v", a)
	}
	for base, n := range arrived {
		if n != 1 {
			t.Errorf("%d PUTs to %s in one round", n, base)
		}
	}
}
