package flight

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A thousand calls that arrive during a run share the next one.
func TestCallersShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		g := Group[int]{Do: func() (int, error) {
			time.Sleep(time.Second)
			return int(runs.Add(1)), nil
		}}
		answers := make(chan int, 1001)
		get := func() {
			n, err := g.Get(t.Context())
			if err != nil {
				t.Error(err)
			}
			answers <- n
		}
		go get()
		synctest.Wait()
		for range 1000 {
			go get()
		}
		for range 1001 {
			<-answers
		}
		if n := runs.Load(); n != 2 {
			t.Errorf("1001 calls took %d runs, want 2", n)
		}
	})
}

// The result of a call comes from a run that began after it.
func TestAnswersAreFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Int32
		g := Group[int32]{Do: func() (int32, error) {
			seen := now.Load()
			time.Sleep(time.Second)
			return seen, nil
		}}
		go g.Get(t.Context())
		synctest.Wait()
		now.Store(1)
		if got, err := g.Get(t.Context()); err != nil || got != 1 {
			t.Errorf("got %d, error %v: older than the call", got, err)
		}
	})
}

// A run that hangs delays its own callers, and others only by Patience.
func TestOneHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience, most = 2 * time.Second, 3
		var runs atomic.Int32
		hang := make(chan struct{})
		g := Group[int]{Patience: patience, Most: most, Do: func() (int, error) {
			if runs.Add(1) < most {
				<-hang
				return 0, errors.New("hung")
			}
			return 0, nil
		}}
		stuck, cancel := context.WithTimeout(t.Context(), 3*patience/2)
		defer cancel()
		go func() {
			if _, err := g.Get(stuck); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first call ended with %v", err)
			}
		}()
		synctest.Wait()
		go g.Get(t.Context())
		time.Sleep(patience)
		synctest.Wait()
		begun := time.Now()
		if _, err := g.Get(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > patience {
			t.Errorf("a call took %s", took)
		}
		close(hang)
		synctest.Wait()
		if g.running != 0 {
			t.Errorf("%d still count as running", g.running)
		}
	})
}

// When Most runs hang, no more are begun until one ends.
func TestRunsAreCapped(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			const most = 3
			var runs atomic.Int32
			hang := make(chan struct{})
			g := Group[int]{Patience: patience, Most: most, Do: func() (int, error) {
				runs.Add(1)
				<-hang
				return 0, nil
			}}
			ctx, cancel := context.WithCancel(t.Context())
			for range 10 {
				go g.Get(ctx)
				time.Sleep(2 * time.Second)
			}
			want := int32(1)
			if patience > 0 {
				want = most
			}
			if n := runs.Load(); n != want {
				t.Errorf("%d runs, want %d", n, want)
			}
			cancel()
			close(hang)
			synctest.Wait()
			if n := runs.Load(); n != want+1 {
				t.Errorf("%d runs, want %d", n, want+1)
			}
		})
	}
}
