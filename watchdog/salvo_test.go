package watchdog

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// volley is a Target that kills, waits for its salvo and goes on.
type volley struct {
	kill         func()
	begun        *atomic.Int64
	killed, went *atomic.Int64
	ahead        *atomic.Int64
	all          int64
	told         atomic.Int64
}

func (v *volley) Remove(ctx context.Context, salvo *Salvo) {
	v.begun.Add(1)
	salvo.Aim(ctx)
	if v.begun.Load() < v.all {
		v.ahead.Add(1)
	}
	v.kill()
	v.killed.Add(1)
	salvo.Shot()
	salvo.Wait(ctx)
	if v.killed.Load() < v.all {
		v.ahead.Add(1)
	}
	v.went.Add(1)
}

func (v *volley) Expired(uint64) { v.told.Store(v.killed.Load()) }
func (v *volley) Gone()          {}

func TestNobodyGoesOnBeforeAllHaveKilled(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]time.Duration{"all kill": 0, "one kill hangs": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				g := New(zerolog.Nop())
				var begun, killed, went, ahead atomic.Int64
				at := time.Now().Add(time.Minute)
				var all []*volley
				for i := range n {
					v := &volley{begun: &begun, killed: &killed, went: &went, ahead: &ahead, all: n,
						kill: func() { time.Sleep(time.Duration(i%20) * time.Millisecond) }}
					if i == 0 && hang > 0 {
						v.kill = func() { time.Sleep(hang) }
					}
					all = append(all, v)
					g.Add(fmt.Sprint(i), v)
					g.Arm(fmt.Sprint(i), 1, at)
				}
				time.Sleep(time.Minute + 100*time.Millisecond)
				synctest.Wait()
				switch {
				case hang == 0 && (ahead.Load() != 0 || went.Load() != n):
					t.Errorf("%d of %d went on, %d before all had begun or killed", went.Load(), n, ahead.Load())
				case hang != 0 && went.Load() != n-1:
					t.Errorf("%d went on, though only one hangs", went.Load())
				}
				for _, v := range all {
					if hang == 0 && v.told.Load() != n {
						t.Fatalf("told of its deadline when %d had killed", v.told.Load())
					}
				}
				time.Sleep(hang)
				if err := g.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
