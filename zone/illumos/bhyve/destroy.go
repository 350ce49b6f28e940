package bhyve

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// First and longest pause between two checks whether a VM still exists. The first is
// short: a VM that no process holds goes as soon as its memory is cleared.
const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
)

// DestroyVM destroys a VM and returns nil once the kernel has no VM of that name. It
// is meant for a VM whose zone no longer exists. The guest stops at once, but a VM
// that a process has open exists until that process closes it. A VM that does not
// exist is success.
//
// If ctx ends first, the destruction continues in the kernel, and a further call
// waits for it.
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
	// The VM's own device comes first: it marks the VM and does not wait.
	_, err := h.ask(ctx, request{op: opDestroySelf, path: h.device(name), vm: name})
	if err = ignoreBegun(err); err != nil && !final(err) {
		_, other := h.ask(ctx, request{op: opDestroyVM, path: h.ctl, vm: name, args: []string{name}})
		if other = ignoreBegun(other); other != nil {
			return errors.Join(err, other)
		}
	}
	if final(err) {
		return err
	}
	return h.awaitDestroyed(ctx, name)
}

// ignoreBegun returns nil if err means that the VM is being destroyed or does not
// exist.
func ignoreBegun(err error) error {
	// Once a destruction has begun, a VM's device returns ENXIO for everything.
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENXIO) {
		return nil
	}
	return err
}

// final reports whether a request to the control device would fail as well.
func final(err error) bool {
	return errors.Is(err, ErrUnsupported) || stuck(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (h *Host) awaitDestroyed(ctx context.Context, name string) error {
	for pause := pollFirst; ; pause = min(2*pause, pollMost) {
		exists, err := h.Exists(ctx, name)
		if err != nil || !exists {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the process that still holds it: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
