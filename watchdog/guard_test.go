package watchdog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

// probe is a Target that records its calls and their times.
type probe struct {
	kill, remove func(context.Context)
	killNow      func() bool

	mu   sync.Mutex
	seen notes
}

type notes struct {
	killed, begun []time.Time
	expired       []uint64
	gone          []uint64
	// order is the calls in order.
	order string
}

// look returns a copy of what was recorded so far.
func (p *probe) look() notes {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.seen
	n.killed, n.begun = slices.Clone(n.killed), slices.Clone(n.begun)
	n.expired, n.gone = slices.Clone(n.expired), slices.Clone(n.gone)
	return n
}

func (p *probe) note(what string, do func(*notes)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.order += what
	do(&p.seen)
}

func (p *probe) KillNow() bool {
	if p.killNow == nil || !p.killNow() {
		return false
	}
	p.note("n", func(n *notes) { n.killed = append(n.killed, time.Now()) })
	return true
}

func (p *probe) Kill(ctx context.Context) {
	p.note("k", func(n *notes) { n.killed = append(n.killed, time.Now()) })
	if p.kill != nil {
		p.kill(ctx)
	}
}

func (p *probe) Remove(ctx context.Context) {
	p.note("r", func(n *notes) { n.begun = append(n.begun, time.Now()) })
	if p.remove != nil {
		p.remove(ctx)
	}
}

func (p *probe) Expired(epoch, _ uint64) {
	p.note("e", func(n *notes) { n.expired = append(n.expired, epoch) })
}

func (p *probe) Gone(n uint64) { p.note("g", func(s *notes) { s.gone = append(s.gone, n) }) }

// bubble runs a test in a bubble with a guard that is closed at its end.
func bubble(t *testing.T, test func(t *testing.T, g *Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := New(zerolog.Nop())
		test(t, g)
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestDeadlineBeginsTheRemovalOnTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		p := &probe{}
		g.Add("a", p)
		at := time.Now().Add(10 * time.Minute)
		g.Arm("a", 1, at)
		pass(10*time.Minute - time.Nanosecond)
		if len(p.look().begun) != 0 {
			t.Error("began early")
		}
		pass(time.Nanosecond)
		if !slices.Equal(p.look().begun, []time.Time{at}) || !slices.Equal(p.look().expired, []uint64{1}) || len(p.look().gone) != 1 {
			t.Errorf("begun %v, expired %v, gone %v", p.look().begun, p.look().expired, p.look().gone)
		}
	})
}

func TestRearmingReplacesTheDeadline(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		p := &probe{}
		g.Add("a", p)
		g.Arm("a", 1, time.Now().Add(time.Hour))
		g.Arm("a", 2, time.Now().Add(time.Second))
		g.Arm("a", 1, time.Now()) // a late call for the first stop
		pass(time.Second - 1)
		if len(p.look().begun) != 0 {
			t.Error("a stale epoch began the removal")
		}
		pass(2 * time.Hour)
		if len(p.look().begun) != 1 || !slices.Equal(p.look().expired, []uint64{2}) {
			t.Errorf("begun %v, expired %v", p.look().begun, p.look().expired)
		}
	})
}

func TestDisarmedAndDroppedNeverFire(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		disarmed, dropped, other := &probe{}, &probe{}, &probe{}
		for name, p := range map[string]*probe{"disarmed": disarmed, "dropped": dropped, "other": other} {
			g.Add(name, p)
			g.Arm(name, 1, time.Now().Add(time.Minute))
		}
		g.Disarm("disarmed")
		g.Drop("dropped")
		pass(time.Hour)
		if len(disarmed.look().begun)+len(dropped.look().begun) != 0 || len(other.look().begun) != 1 {
			t.Errorf("%d %d %d", len(disarmed.look().begun), len(dropped.look().begun), len(other.look().begun))
		}
	})
}

func TestKillsOfOneCallComeFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		at := time.Now().Add(time.Minute)
		var calls atomic.Int64 // of KillNow
		var all []*probe
		early := func(context.Context) {
			if n := calls.Load(); n != 100 {
				t.Errorf("something else began after %d of 100 calls of KillNow", n)
			}
		}
		for i := range 100 {
			p := &probe{kill: early, remove: early, killNow: func() bool { calls.Add(1); return i%2 == 0 }}
			if i == 50 {
				p.killNow = func() bool { calls.Add(1); panic("as a test") }
			}
			name := fmt.Sprint(i)
			g.Add(name, p)
			g.Arm(name, 1, at)
			all = append(all, p)
		}
		pass(time.Minute)
		for i, p := range all {
			want := "nerg"
			if i%2 != 0 || i == 50 {
				want = "kerg"
			}
			if got := p.look().order; got != want {
				t.Errorf("target %d: calls %q, want %q", i, got, want)
			}
		}
	})
}

func TestStuckRemovalDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		at := time.Now().Add(time.Minute)
		stuck := &probe{remove: func(ctx context.Context) { <-ctx.Done() }}
		g.Add("stuck", stuck)
		g.Arm("stuck", 1, at)
		var all []*probe
		for i := range 1000 {
			p := &probe{}
			all = append(all, p)
			g.Add(fmt.Sprint(i), p)
			g.Arm(fmt.Sprint(i), 1, at)
		}
		pass(time.Minute)
		for _, p := range all {
			if !slices.Equal(p.look().begun, []time.Time{at}) {
				t.Fatalf("begun %v, want %v", p.look().begun, at)
			}
		}
		if s := g.Stats(); s.Removing != 1 || s.Fired != 1001 || s.Armed != 0 {
			t.Errorf("%+v", s)
		}
	})
	// Close has ended the stuck removal: the bubble has no goroutines left.
}

func TestOneRemovalAtATimeAndAnotherAfterIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		p := &probe{remove: func(context.Context) { time.Sleep(time.Minute) }}
		g.Add("a", p)
		g.Arm("a", 1, time.Now().Add(time.Second))
		g.Remove("a", 1)
		g.Remove("a", 1)
		pass(30 * time.Second)
		if len(p.look().begun) != 1 || len(p.look().expired) != 0 {
			t.Errorf("begun %v, expired %v", p.look().begun, p.look().expired)
		}
		pass(time.Minute)
		g.Remove("a", 1) // it was removed already
		pass(time.Minute)
		g.Remove("a", 2)
		pass(2 * time.Minute)
		if n := p.look(); n.order != "krgkrg" || !slices.Equal(n.gone, []uint64{1, 2}) {
			t.Errorf("order %s, gone %v", n.order, n.gone)
		}
	})
}

// A removal that is requested while another runs begins after it, and does not end with
// it.
func TestLaterRequestIsAnotherRemoval(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		p := &probe{remove: func(context.Context) { time.Sleep(time.Minute) }}
		g.Add("a", p)
		g.Arm("a", 1, time.Now().Add(time.Second))
		pass(30 * time.Second)
		g.Remove("a", 1) // the deadline's own
		g.Remove("a", 2)
		pass(time.Hour)
		if n := p.look(); n.order != "kerrg" || !slices.Equal(n.gone, []uint64{2}) {
			t.Errorf("order %s, gone %v", n.order, n.gone)
		}
	})
}

// A deadline that passes during a removal is reported, and begins none beside it.
func TestDeadlineDuringARemoval(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		p := &probe{remove: func(context.Context) { time.Sleep(time.Minute) }}
		g.Add("a", p)
		g.Remove("a", 1)
		g.Arm("a", 1, time.Now().Add(time.Second))
		pass(time.Hour)
		if n := p.look(); n.order != "kreg" || !slices.Equal(n.gone, []uint64{1}) {
			t.Errorf("order %s, gone %v", n.order, n.gone)
		}
	})
}

// A removal that Close ends says nothing about its target.
func TestClosedRemovalIsNotGone(t *testing.T) {
	t.Parallel()
	p := &probe{remove: func(ctx context.Context) { <-ctx.Done() }}
	bubble(t, func(t *testing.T, g *Guard) {
		g.Add("a", p)
		g.Remove("a", 1)
		pass(time.Minute)
	})
	if n := p.look(); n.order != "kr" {
		t.Errorf("order %s", n.order)
	}
}

// All kills due at one moment come before the removals and notifications due then.
func TestKillsComeFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		const all = 300
		var killed, early atomic.Int64
		check := func(context.Context) {
			if killed.Load() != all {
				early.Add(1)
			}
		}
		for i := range all {
			p := &probe{kill: func(context.Context) { killed.Add(1) }, remove: check}
			g.Add(fmt.Sprint(i), p)
			g.Arm(fmt.Sprint(i), 1, time.Now().Add(time.Minute))
		}
		pass(time.Minute)
		if killed.Load() != all || early.Load() != 0 {
			t.Errorf("%d killed, %d removals began before all were", killed.Load(), early.Load())
		}
	})
}

// Kills that hang or panic are left to their removals, and delay others no longer than
// the bound.
func TestHangingKillDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		at := time.Now().Add(time.Minute)
		var others []*probe
		for i := range 3 * killers {
			p := &probe{}
			switch {
			case i < 2*killers:
				p.kill = func(ctx context.Context) { <-ctx.Done() }
			case i == 2*killers+2:
				p.kill = func(context.Context) { panic("broken") }
			}
			others = append(others, p)
			g.Add(fmt.Sprint(i), p)
			g.Arm(fmt.Sprint(i), 1, at)
		}
		pass(time.Minute + time.Second)
		for i, p := range others {
			if n := p.look(); len(n.begun) != 1 || n.begun[0].Sub(at) > killBound || len(n.gone) != 1 {
				t.Errorf("removal %d: %+v", i, n)
			}
		}
		pass(time.Minute)
	})
}

func TestPanickingRemovalIsBegunAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, g *Guard) {
		tries := 0
		p := &probe{}
		p.remove = func(context.Context) {
			if tries++; tries < 3 {
				panic("broken")
			}
		}
		g.Add("a", p)
		g.Remove("a", 1)
		pass(time.Minute)
		if len(p.look().begun) != 3 || len(p.look().gone) != 1 {
			t.Errorf("begun %d times, gone %v", len(p.look().begun), p.look().gone)
		}
	})
}

// TestFiringMatchesModel arms, disarms and removes at random and compares with a map of
// due times.
func TestFiringMatchesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bubble(t, func(_ *testing.T, g *Guard) {
			const n = 8
			probes := make([]*probe, n)
			due := map[int]time.Time{}
			want := make([]int, n)
			for i := range probes {
				probes[i] = &probe{}
				g.Add(fmt.Sprint(i), probes[i])
			}
			for step := range rapid.IntRange(1, 40).Draw(rt, "steps") {
				i := rapid.IntRange(0, n-1).Draw(rt, "target")
				switch rapid.IntRange(0, 2).Draw(rt, "what") {
				case 0:
					at := time.Now().Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second)
					g.Arm(fmt.Sprint(i), uint64(step+1), at)
					due[i] = at
				case 1:
					g.Disarm(fmt.Sprint(i))
					if at, ok := due[i]; ok && at.After(time.Now()) {
						delete(due, i)
					}
				case 2:
					pass(time.Duration(rapid.IntRange(1, 10).Draw(rt, "pass")) * time.Second)
				}
				synctest.Wait()
				for i, at := range due {
					if !at.After(time.Now()) {
						want[i]++
						delete(due, i)
					}
				}
			}
			for i, p := range probes {
				if len(p.look().begun) != want[i] {
					rt.Errorf("target %d fired %d times, want %d", i, len(p.look().begun), want[i])
				}
			}
		})
	})
}

func TestGateIsFairAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2)
		var order []int
		var mu sync.Mutex
		for i := range 6 {
			go func() {
				leave, err := g.Enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				leave()
			}()
			synctest.Wait()
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		slices.Sort(order[2:]) // both enter at one moment
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("after 1.5 s: %v", order)
		}
		mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := g.Enter(ctx); err == nil {
			t.Error("entered a full gate")
		}
		time.Sleep(time.Minute)
	})
}

func BenchmarkArmDisarm(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("armed=%d", n), func(b *testing.B) {
			g := New(zerolog.Nop())
			defer g.Close(context.Background())
			for i := range n {
				g.Add(fmt.Sprint(i), &probe{})
				g.Arm(fmt.Sprint(i), 1, time.Now().Add(time.Hour+time.Duration(i)*time.Millisecond))
			}
			g.Add("x", &probe{})
			epoch := uint64(0)
			for b.Loop() {
				epoch++
				g.Arm("x", epoch, time.Now().Add(time.Minute))
				g.Disarm("x")
			}
		})
	}
}
