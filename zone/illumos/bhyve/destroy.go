package bhyve

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// How often to look whether a VM is gone: at first often, since a VM that nobody
// holds goes at once, but for the time to clear its memory.
const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
)

// DestroyVM frees a VM and returns nil once the kernel has none of that name. It
// is for a VM whose zone is gone: one that a process still has open is marked,
// but stays until that process lets go of it, and its guest is dead from the
// first moment. A VM that does not exist is success.
//
// When ctx ends first, the destruction that has begun goes on in the kernel, and
// a further call takes it up.
func (h *Host) DestroyVM(ctx context.Context, name string) error {
	if err := h.destroy(ctx, name); err != nil {
		return fmt.Errorf("destroy VM %s: %w", name, err)
	}
	return nil
}

func (h *Host) destroy(ctx context.Context, name string) error {
	if exists, err := h.Exists(ctx, name); err != nil || !exists {
		return err
	}
	// The VM's own device is asked first: it marks the VM and does not wait.
	_, err := h.ask(ctx, request{op: opDestroySelf, path: h.device(name), vm: name})
	if err = begun(err); err != nil && !hopeless(err) {
		_, other := h.ask(ctx, request{op: opDestroyVM, path: h.ctl, vm: name, args: []string{name}})
		if other = begun(other); other != nil {
			return errors.Join(err, other)
		}
	}
	if hopeless(err) {
		return err
	}
	return h.waitGone(ctx, name)
}

// begun returns nil if err says that the VM is being destroyed or is not there.
func begun(err error) error {
	// Once a destruction has begun, a VM's device answers ENXIO to everything.
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENXIO) {
		return nil
	}
	return err
}

// hopeless tells whether asking the control device would fail as well.
func hopeless(err error) bool {
	return errors.Is(err, ErrUnsupported) || errors.Is(err, ErrStuck) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (h *Host) waitGone(ctx context.Context, name string) error {
	for pause := pollFirst; ; pause = min(2*pause, pollMost) {
		exists, err := h.Exists(ctx, name)
		if err != nil || !exists {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for whoever still holds it: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
