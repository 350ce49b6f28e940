// Package bounded waits for calls that may ignore the end of their contexts, such as those of a
// disk that hangs.
package bounded

import "context"

// Call returns the result of do, which runs in a goroutine of its own. If ctx ends first, late is
// set, the error is ctx's cause, and do is left behind. How many calls may be left behind is up to
// the caller.
func Call[T any](ctx context.Context, do func() (T, error)) (value T, late bool, err error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := do()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, false, r.err
	case <-ctx.Done():
		return value, true, context.Cause(ctx)
	}
}

// Do is Call without a value.
func Do(ctx context.Context, do func() error) (late bool, err error) {
	_, late, err = Call(ctx, func() (struct{}, error) { return struct{}{}, do() })
	return late, err
}
