package illumos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
)

// List implements zone.Manager. If zoneadm list fails, it returns the last listing
// if that is at most a minute old, as a partial list.
func (m *Manager) List(ctx context.Context) ([]zone.Info, error) {
	l, err := m.zones.hint(ctx)
	if l.zones == nil {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	if err = errors.Join(err, l.complete()); err != nil {
		err = fmt.Errorf("%w: %w", zone.ErrPartial, err)
	}
	var infos []zone.Info
	for name, z := range l.zones {
		if m.ours(name) == nil {
			infos = append(infos, m.detailed(info(z)))
		}
	}
	slices.SortFunc(infos, func(a, b zone.Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos, err
}

// Look implements zone.Manager.
func (m *Manager) Look(ctx context.Context, name string) (zone.Info, error) {
	if err := zone.ValidName(name); err != nil {
		return zone.Info{}, fmt.Errorf("look at zone: %w", err)
	}
	i, err := m.look(ctx, name)
	if err != nil {
		return zone.Info{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return i, nil
}

func (m *Manager) look(ctx context.Context, name string) (zone.Info, error) {
	l, err := m.zones.Get(ctx)
	if err != nil {
		return zone.Info{}, err
	}
	i, err := m.resolve(ctx, l, name)
	if err != nil {
		return zone.Info{}, err
	}
	return m.detailed(i), nil
}

// lookRetry is how long a start repeats a look that fails, so that a short
// disturbance does not end the start.
const lookRetry = 30 * time.Second

// lookRetrying repeats look until it succeeds or lookRetry has passed. Then the error is
// ErrUnsure.
func (m *Manager) lookRetrying(ctx context.Context, name string) (zone.Info, error) {
	bounded, cancel := context.WithTimeout(ctx, lookRetry)
	defer cancel()
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(serviceFirst),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		i, err := m.look(ctx, name)
		if err == nil || ctx.Err() != nil {
			return i, err
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-bounded.Done():
			return zone.Info{}, fmt.Errorf("%w: %w", zone.ErrUnsure, err)
		}
	}
}

// detailed adds the oldest command for the zone that outlived its budget.
func (m *Manager) detailed(i zone.Info) zone.Info {
	left := m.commands.Left(i.Name)
	if len(left) > 0 {
		oldest := slices.MinFunc(left, func(a, b command.Left) int { return a.Since.Compare(b.Since) })
		i.Detail = fmt.Sprintf("%q (process %d) has not ended for %s", oldest.Command, oldest.PID,
			time.Since(oldest.Since).Round(time.Second))
	}
	return i
}

// active reports whether the kernel knows, or may know, a zone in this state.
func active(s zone.State) bool {
	switch s {
	case zone.Absent, zone.Configured, zone.Incomplete, zone.Installed:
		return false
	}
	return true
}
