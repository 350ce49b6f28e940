package bhyve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
)

// A fakeReservoir answers requests as the driver does.
type fakeReservoir struct {
	size uint64
	// answer, if set, may refuse a step or reach a smaller size.
	answer func(step int, target uint64) (uint64, error)
	asked  []uint64
}

func (f *fakeReservoir) ask(_ context.Context, r request) (answer, error) {
	if r.op == opReservoir {
		return answer{Values: []uint64{f.size, 0, 0, 1 << 50}}, nil
	}
	target, err := strconv.ParseUint(r.args[0], 10, 64)
	if err != nil || r.op != opResize || len(r.args) != 2 {
		return answer{}, fmt.Errorf("asked for %v", r)
	}
	f.asked = append(f.asked, target)
	f.size, err = target, nil
	if f.answer != nil {
		f.size, err = f.answer(len(f.asked), target)
	}
	return answer{Values: []uint64{f.size}}, err
}

// resized returns the sizes passed to progress, and the result.
func resized(t *testing.T, f *fakeReservoir, target uint64) ([]uint64, error) {
	var sizes []uint64
	err := <-fakeHost(t, f.ask).Resize(t.Context(), target, func(p Progress) { sizes = append(sizes, p.Size) })
	return sizes, err
}

func TestResize(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		from, to uint64
		want     []uint64
	}{
		{0, 0, nil},
		{0, granule, []uint64{granule}},
		{0, 2*gib + gib/2, []uint64{gib, 2 * gib, 2*gib + gib/2}},
		{4096, gib + 1, []uint64{gib}},
		{2*gib + 4096, 0, []uint64{gib + granule, granule, 0}},
	} {
		sizes, err := resized(t, &fakeReservoir{size: v.from}, v.to)
		if err != nil || !slices.Equal(sizes, v.want) {
			t.Errorf("from %d to %d: by way of %d, %v; want %d", v.from, v.to, sizes, err, v.want)
		}
	}
}

func TestResizeWithoutProgress(t *testing.T) {
	t.Parallel()
	f := &fakeReservoir{}
	if err := <-fakeHost(t, f.ask).Resize(t.Context(), 2*gib, nil); err != nil || f.size != 2*gib {
		t.Errorf("at %d, %v", f.size, err)
	}
}

func TestResizeThatIsInterrupted(t *testing.T) {
	t.Parallel()
	f := &fakeReservoir{answer: func(step int, target uint64) (uint64, error) {
		if step == 1 {
			return granule, nil // a signal came
		}
		return target, nil
	}}
	if sizes, err := resized(t, f, gib); err != nil || !slices.Equal(sizes, []uint64{granule, gib}) {
		t.Errorf("by way of %d, %v", sizes, err)
	}
}

func TestResizeWaitsForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeReservoir{answer: func(step int, target uint64) (uint64, error) {
			switch {
			case step <= 5:
				return 0, syscall.EALREADY
			case step == 6:
				return granule, syscall.EALREADY // the other one's doing
			}
			return target, nil
		}}
		if sizes, err := resized(t, f, gib); err != nil || !slices.Equal(sizes, []uint64{granule, gib}) {
			t.Errorf("by way of %d, %v", sizes, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fakeReservoir{answer: func(int, uint64) (uint64, error) { return 0, nil }}
		if _, err := resized(t, f, gib); err == nil || len(f.asked) != maxIdle {
			t.Errorf("without progress: %v after %d steps", err, len(f.asked))
		}
	})
}

func TestResizeRefused(t *testing.T) {
	t.Parallel()
	f := &fakeReservoir{answer: func(step int, target uint64) (uint64, error) {
		if step == 2 {
			return gib, syscall.ENOSPC
		}
		return target, nil
	}}
	sizes, err := resized(t, f, 4*gib)
	if !errors.Is(err, syscall.ENOSPC) || !slices.Equal(sizes, []uint64{gib}) {
		t.Errorf("by way of %d, %v", sizes, err)
	}
}

func TestResizeOneAtATime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	h := fakeHost(t, func(ctx context.Context, r request) (answer, error) {
		<-ctx.Done()
		return answer{}, ctx.Err()
	})
	first := h.Resize(ctx, gib, nil)
	if err := <-h.Resize(t.Context(), gib, nil); !errors.Is(err, ErrResizing) {
		t.Errorf("a second one: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: %v", err)
	}
	if err := <-h.Resize(ctx, gib, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("one after it: %v", err)
	}
}
