package hostdir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// Close takes the host down: every process that it started is killed, and a
// command that still runs ends at its next step. It returns when nothing of the
// host runs, or with what does when ctx ends. The directory stays as it is then;
// the host cannot be used any more, but be closed again.
func (h *Host) Close(ctx context.Context) error {
	if err := h.close(ctx); err != nil {
		return fmt.Errorf("take down the host in %s: %w", h.dir, err)
	}
	return nil
}

func (h *Host) close(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(h.Store.Dir, "closing"), nil, 0o600); err != nil {
		return err
	}
	// What is being started was, or will not be.
	if err := standin.Try(func() { h.Store.Locked(func() {}) }); err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		left, err := h.kill()
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %v still run: %w", left, context.Cause(ctx))
		}
	}
}

// lookEvery is how often Close looks for what still runs.
const lookEvery = 2 * time.Millisecond

// kill kills what the host has started and returns all that still runs.
func (h *Host) kill() (left []int, err error) {
	err = standin.Try(func() {
		left = h.Store.Processes("")
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // It may end this very moment.
		}
		for _, c := range h.unfinished() {
			left = append(left, c.PID)
		}
	})
	return left, err
}

// unfinished are the commands that still run.
func (h *Host) unfinished() []standin.Call {
	return slices.DeleteFunc(h.Store.Calls(), func(c standin.Call) bool {
		return !c.End.IsZero() || !standin.Runs(c.PID, h.BinDir())
	})
}
