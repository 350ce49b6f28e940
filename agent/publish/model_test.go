package publish

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A life is what the model knows of a VMM between two Drops.
type life struct {
	newest   uint64
	offered  bool
	terminal bool
	results  map[uint64]Result
	sent     uint64 // newest that arrived at Nexus
	acked    uint64 // newest that Nexus acknowledged, 0: none
	closed   bool
}

type model struct {
	t     *rapid.T
	p     *Publisher
	f     *fakeNexus
	ids   []uuid.UUID
	lives map[uuid.UUID]*life
	seen  struct{ calls, acked int }
}

// TestModel offers, drops and waits at random before a Nexus that answers at
// random. The fake itself checks that a VMM has one PUT at a time and none
// after its Drop.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, runModel) })
}

func runModel(t *rapid.T) {
	script := rapid.SliceOfN(rapid.Custom(drawReply), 1, 40).Draw(t, "answers")
	healed := false
	n := 0
	f := newFake(t, func(call) reply {
		if healed {
			return reply{status: 204}
		}
		n++
		return script[n%len(script)]
	})
	p := New(Config{
		Addresses:   []string{nexus1, nexus2}[:rapid.IntRange(0, 2).Draw(t, "replicas")],
		GiveUpAfter: time.Hour, Concurrency: rapid.IntRange(1, 3).Draw(t, "concurrency"), Transport: f,
	})
	defer closeNow(t, p)
	m := &model{t: t, p: p, f: f, lives: map[uuid.UUID]*life{}}
	for i := range 4 {
		id := uuid.UUID{15: byte(i)}
		m.ids = append(m.ids, id)
		m.lives[id] = &life{results: map[uint64]Result{}}
	}
	t.Repeat(map[string]func(*rapid.T){
		"offer": m.offer,
		"drop":  m.drop,
		"wait": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond) // sleep: in a bubble, where it passes time
		},
		"": m.check,
	})
	f.mu.Lock()
	healed = true
	f.mu.Unlock()
	time.Sleep(2 * time.Hour) // sleep: in a bubble, where it passes time
	m.check(t)
	m.checkEnd()
}

func drawReply(t *rapid.T) reply {
	return reply{
		status: rapid.SampledFrom([]int{204, 204, 204, 200, 302, 400, 404, 410, 429, 500, 503}).Draw(t, "status"),
		hang:   rapid.IntRange(0, 9).Draw(t, "hang") == 0,
		reset:  rapid.IntRange(0, 9).Draw(t, "reset") == 0,
		after:  time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second,
	}
}

func (m *model) offer(t *rapid.T) {
	id := rapid.SampledFrom(m.ids).Draw(t, "vmm")
	l := m.lives[id]
	if l.terminal {
		return
	}
	gen := uint64(max(1, int(l.newest)+rapid.IntRange(-2, 3).Draw(t, "step")))
	state := rapid.SampledFrom([]vmm.WireState{vmm.WireRunning, vmm.WireRebooting, vmm.WireStopping,
		vmm.WireFailed, vmm.WireDestroyed}).Draw(t, "state")
	counts := !l.offered || gen > l.newest
	if counts {
		l.offered, l.newest, l.terminal = true, gen, state.Terminal()
	}
	m.f.mu.Lock()
	m.f.dropped[id] = false
	m.f.mu.Unlock()
	m.p.Offer(id, record(gen, state), func(r Result) {
		m.f.mu.Lock()
		defer m.f.mu.Unlock()
		_, again := l.results[gen]
		switch {
		case again, l.closed, r.Gen != gen, r.Acked == r.GaveUp, gen != l.newest, !counts, r.GaveUp && !l.terminal:
			m.f.t.Errorf("VMM %s, generation %d: notified of %+v (again %v, dropped %v, newest %d)",
				id, gen, r, again, l.closed, l.newest)
		}
		l.results[gen] = r
	})
	synctest.Wait()
}

func (m *model) drop(t *rapid.T) {
	id := rapid.SampledFrom(m.ids).Draw(t, "vmm")
	synctest.Wait()
	m.check(t)
	m.p.Drop(id)
	m.f.mu.Lock()
	m.lives[id].closed = true
	m.f.dropped[id] = true
	m.lives[id] = &life{results: map[uint64]Result{}}
	m.f.mu.Unlock()
	synctest.Wait()
}

// check follows what Nexus saw since the last look.
func (m *model) check(t *rapid.T) {
	synctest.Wait()
	calls, acked := m.f.told()
	for _, c := range calls[m.seen.calls:] {
		l := m.lives[c.id]
		if c.gen < l.sent || c.gen <= l.acked {
			t.Fatalf("VMM %s: generation %d was sent after %d, acknowledged %d", c.id, c.gen, l.sent, l.acked)
		}
		l.sent = c.gen
	}
	for _, c := range acked[m.seen.acked:] {
		l := m.lives[c.id]
		if c.gen <= l.acked {
			t.Fatalf("VMM %s: generation %d acknowledged after %d", c.id, c.gen, l.acked)
		}
		l.acked = c.gen
	}
	m.seen.calls, m.seen.acked = len(calls), len(acked)
	for _, id := range m.ids {
		m.checkStatus(t, id)
	}
}

func (m *model) checkStatus(t *rapid.T, id uuid.UUID) {
	l := m.lives[id]
	st, ok := m.p.Status(id)
	if ok != l.offered || ok && (st.Gen != l.newest || st.Acked != l.acked) {
		t.Fatalf("VMM %s: status %+v, %v; model %+v", id, st, ok, l)
	}
}

// checkEnd: what is left of every VMM's life, once Nexus has been well for long.
func (m *model) checkEnd() {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	for _, id := range m.ids {
		l := m.lives[id]
		r, told := l.results[l.newest]
		if l.terminal && !told {
			m.t.Errorf("VMM %s: nobody was told what became of its end: %+v", id, l)
		}
		if told && r.Acked != (l.acked == l.newest) {
			m.t.Errorf("VMM %s: told %+v, acknowledged %d", id, r, l.acked)
		}
	}
	if st := m.p.Stats(); st.InFlight != 0 || st.Waiting != 0 {
		m.t.Errorf("something is still under way: %+v", st)
	}
}
