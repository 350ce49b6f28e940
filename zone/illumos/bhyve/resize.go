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
	// idlePause is how long to wait after a step that changed nothing: another
	// program resizes, or a signal came before the first page.
	idlePause = time.Second
	// maxIdle is how many such steps in a row are an error: far more than a
	// resize by another program's chunk takes.
	maxIdle = 120
)

// Progress is where a resize has got to, in bytes.
type Progress struct {
	Size, Target uint64
}

// Resize begins to grow or shrink the reservoir to target bytes, rounded down to
// 2 MiB, and returns at once. It goes in steps of 1 GiB; each is made known to
// progress, unless that is nil, from Resize's own goroutine, which progress must
// not hold up. The channel yields one error, or nil when the target was reached.
// ctx ends the resize between two steps or within one; what was reached stays.
//
// Growing a large reservoir takes minutes and needs as much free memory; errno
// ENOSPC is more than the kernel allows, or less than VMs have now. There is one
// Resize at a time (ErrResizing).
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

// resizeStep returns the size that one step has reached, which may be the old one.
func (h *Host) resizeStep(ctx context.Context, from, to uint64) (uint64, error) {
	v, err := h.control(ctx, opResize, 1, strconv.FormatUint(to, 10), strconv.FormatUint(chunk, 10))
	if err == nil {
		return v[0], nil
	}
	if !errors.Is(err, syscall.EALREADY) {
		return 0, err
	}
	// Somebody else resizes, and may have moved the size meanwhile.
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
