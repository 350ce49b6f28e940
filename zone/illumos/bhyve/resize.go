package bhyve

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

const (
	// idlePause is the pause after a step that changed nothing: another program
	// resizes the reservoir, or a signal came before the first page.
	idlePause = time.Second
	// maxIdle is the number of such steps in a row that is an error: far more than
	// another program needs for one of its steps.
	maxIdle = 120
)

// Progress is the current size of a reservoir that is being resized, in bytes.
type Progress struct {
	Size, Target uint64
}

// Resize starts to grow or shrink the reservoir to target bytes, rounded down to
// 2 MiB, and returns at once. It proceeds in steps of 1 GiB. After each it calls
// progress, unless that is nil, from its own goroutine; progress must not block. The
// channel receives one error, or nil when the target was reached. The end of ctx
// ends the resize, between two steps or within one; the size reached remains.
//
// Growing a large reservoir takes minutes and needs that much free memory. ENOSPC
// means more than the kernel allows, or less than VMs use now. Only one Resize can
// run at a time (ErrResizing).
func (h *Host) Resize(ctx context.Context, target uint64, progress func(Progress)) <-chan error {
	ended := make(chan error, 1)
	if !h.resizing.CompareAndSwap(false, true) {
		ended <- fmt.Errorf("resize reservoir: %w", ErrResizing)
		return ended
	}
	go func() {
		err := h.resize(ctx, align(target), progress)
		h.resizing.Store(false)
		if err != nil {
			err = fmt.Errorf("resize reservoir: %w", err)
		}
		ended <- err
	}()
	return ended
}

func (h *Host) resize(ctx context.Context, target uint64, progress func(Progress)) error {
	r, err := h.Reservoir(ctx)
	if err != nil {
		return err
	}
	size, idle := r.Size(), 0
	for size != target {
		reached, err := h.resizeStep(ctx, size, step(size, target))
		if err != nil {
			return fmt.Errorf("from %d to %d bytes, at %d: %w", r.Size(), target, size, err)
		}
		if reached != size {
			size, idle = reached, 0
			if progress != nil {
				progress(Progress{Size: size, Target: target})
			}
			continue
		}
		if idle++; idle == maxIdle {
			return fmt.Errorf("from %d to %d bytes, at %d: no progress in %d steps", r.Size(), target, size, idle)
		}
		if err := sleep(ctx, idlePause); err != nil {
			return err
		}
	}
	return nil
}

// resizeStep returns the size after one step, which may be unchanged.
func (h *Host) resizeStep(ctx context.Context, from, to uint64) (uint64, error) {
	v, err := h.control(ctx, opResize, 1, strconv.FormatUint(to, 10), strconv.FormatUint(chunk, 10))
	if err == nil {
		return v[0], nil
	}
	if !errors.Is(err, syscall.EALREADY) {
		return 0, err
	}
	// Another program resizes the reservoir and may have changed its size.
	r, err := h.Reservoir(ctx)
	if err != nil {
		return 0, err
	}
	if r.Size() == from {
		return from, nil
	}
	return r.Size(), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
