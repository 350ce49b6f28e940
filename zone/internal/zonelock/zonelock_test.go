package zonelock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// start begins a start that lasts until it is canceled, at most for an hour.
func start(ctx context.Context, s *Set, name string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- s.Start(ctx, name, func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Hour):
				return nil
			}
		})
	}()
	synctest.Wait()
	return ended
}

func nothing(context.Context) error { return nil }

// A removal cancels the start that has the lock and those that wait for it. A start
// that began later continues.
func TestRemovalCancelsStarts(t *testing.T) {
	t.Parallel()
	for how, remove := range map[string]func(context.Context, *Set) error{
		"removal":    func(ctx context.Context, s *Set) error { return s.Remove(ctx, "a", nothing) },
		"break off":  func(_ context.Context, s *Set) error { s.BreakOff("a"); return nil },
		"other zone": func(ctx context.Context, s *Set) error { return s.Remove(ctx, "b", nothing) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var s Set
			first, second := start(t.Context(), &s, "a"), start(t.Context(), &s, "a")
			if err := remove(t.Context(), &s); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			third := start(t.Context(), &s, "a")
			for i, ended := range []<-chan error{first, second, third} {
				err := <-ended
				if broken := i < 2 && how != "other zone"; errors.Is(err, ErrRemoved) != broken || err != nil && !broken {
					t.Errorf("%s: start %d ended with %v", how, i, err)
				}
			}
			if len(s.locks) > 0 {
				t.Errorf("%s: %d unused locks are kept", how, len(s.locks))
			}
		})
	}
}

// A wait ends with its context, and a wait for one zone delays no other zone.
func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Set
		release := make(chan struct{})
		go s.Remove(t.Context(), "a", func(context.Context) error { <-release; return nil })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Remove(ctx, "a", nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the wait ended with %v", err)
		}
		if err := s.Remove(ctx, "b", nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call with an ended context ended with %v", err)
		}
		if err := s.Remove(t.Context(), "b", nothing); err != nil {
			t.Errorf("another zone: %v", err)
		}
		close(release)
		synctest.Wait()
		if len(s.locks) > 0 {
			t.Errorf("%d unused locks are kept", len(s.locks))
		}
	})
}
