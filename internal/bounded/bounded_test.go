package bounded_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sledagent/sledagent/internal/bounded"
)

func TestCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		own, cause, hung := errors.New("own"), errors.New("cause"), make(chan int)
		if v, late, err := bounded.Call(ctx, func() (int, error) { return 7, own }); v != 7 || late || !errors.Is(err, own) {
			t.Errorf("%d, %t, %v", v, late, err)
		}
		go func() {
			synctest.Wait()
			end(cause)
		}()
		if v, late, err := bounded.Call(ctx, func() (int, error) { return <-hung, own }); v != 0 || !late || !errors.Is(err, cause) {
			t.Errorf("a call that hangs: %d, %t, %v", v, late, err)
		}
		hung <- 7 // the bubble ends only if the call that was left behind does
	})
}
