package zonetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sledagent/sledagent/zone"
)

// Recall records its arguments.
func (h *Host) Recall(name string, made zone.Made) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recall[name] = made
}

// List looks at every zone.
func (h *Host) List(ctx context.Context) ([]zone.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_, err := h.begin(ctx, List, "")
	if err != nil && !errors.Is(err, zone.ErrPartial) {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []zone.Info
	for name, e := range h.zones {
		if !h.unlisted[name] {
			all = append(all, e.info)
		}
	}
	return all, err
}

// Look looks at one zone.
func (h *Host) Look(ctx context.Context, name string) (zone.Info, error) {
	if _, err := h.begin(ctx, Look, name); err != nil {
		return zone.Info{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil {
		return e.info, nil
	}
	return zone.Info{Name: name, State: zone.Absent}, nil
}

// Create makes an installed zone. A fault or a hang leaves it incomplete.
func (h *Host) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	h.mu.Lock()
	if h.zones[spec.Name] != nil {
		h.mu.Unlock()
		return zone.Made{}, fmt.Errorf("create zone %s: %w", spec.Name, zone.ErrExists)
	}
	h.zones[spec.Name] = &entry{spec: spec, watches: map[*watch]struct{}{},
		info: zone.Info{Name: spec.Name, State: zone.Incomplete}}
	h.mu.Unlock()
	if _, err := h.begin(ctx, Create, spec.Name); err != nil {
		return zone.Made{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.zones[spec.Name]
	if e == nil {
		return zone.Made{}, fmt.Errorf("create zone %s: it was removed meanwhile", spec.Name)
	}
	e.info.State = zone.Installed
	made := zone.Made{Links: map[string]string{}, Path: "/zones/" + spec.Name}
	for i, nic := range spec.NICs {
		made.Links[nic.ID] = fmt.Sprintf("vnic%d", i)
	}
	return made, nil
}

// Boot runs an installed zone.
func (h *Host) Boot(ctx context.Context, name string) error {
	if _, err := h.begin(ctx, Boot, name); err != nil {
		return err
	}
	h.mu.Lock()
	e := h.zones[name]
	if e == nil || e.info.State != zone.Installed {
		h.mu.Unlock()
		return fmt.Errorf("boot zone %s: %w", name, zone.ErrNotInstalled)
	}
	h.boots++
	e.info.State, e.info.PID = zone.Running, 100000+h.boots
	e.info.Incarnation = fmt.Sprint(h.boots)
	spec := e.spec
	h.mu.Unlock()
	if h.hooks.Booted == nil {
		return nil
	}
	stop := h.hooks.Booted(name, spec.Addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.info.State != zone.Running {
		go stop()
		return nil
	}
	e.stop = stop
	return nil
}

// Remove takes one rung. A kill ends the zone's server. The zone stays running until
// it is halted, like an illumos zone whose processes were killed.
func (h *Host) Remove(ctx context.Context, rung zone.Rung, name string) error {
	f, err := h.begin(ctx, Op(rung), name)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch rung {
	case zone.RungKill:
		h.zones[name].kill()
	case zone.RungHalt:
		to := zone.Installed
		if f.Stuck != zone.Unknown {
			to = f.Stuck
		}
		return h.move(name, to, zone.Ready, zone.Running, zone.ShuttingDown, zone.Down, zone.Installed)
	case zone.RungUninstall:
		return h.move(name, zone.Configured, zone.Installed, zone.Incomplete, zone.Configured)
	case zone.RungDelete:
		return h.move(name, zone.Absent, zone.Configured, zone.Incomplete)
	}
	return nil
}

// move changes a zone's state if it is in one of the states from. h.mu is held.
func (h *Host) move(name string, to zone.State, from ...zone.State) error {
	e := h.zones[name]
	switch {
	case e == nil:
		return nil
	case !slices.Contains(from, e.info.State):
		return fmt.Errorf("zone %s is %s", name, e.info.State)
	case e.info.State == zone.Running && to != zone.Running:
		h.end(e, "signal: killed")
	}
	e.info.State = to
	if to == zone.Absent {
		delete(h.zones, name)
	}
	return nil
}

// Tail returns a fixed line.
func (h *Host) Tail(ctx context.Context, name string, _ int) ([]byte, error) {
	if _, err := h.begin(ctx, Tail, name); err != nil {
		return nil, err
	}
	return []byte("last output of " + name + "\n"), nil
}

// ServerFailed returns the reason given to FailServer.
func (h *Host) ServerFailed(ctx context.Context, name string) (why string, err error) {
	if _, err := h.begin(ctx, ServerFailed, name); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.info.State == zone.Running {
		why = e.failed
	}
	return why, nil
}

// Watch calls ended when the zone stops running.
func (h *Host) Watch(name string, ended func(zone.End)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.zones[name]
	if e == nil || e.info.State != zone.Running {
		go ended(zone.End{How: "zone is not running"})
		return func() {}
	}
	w := &watch{ended}
	e.watches[w] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(e.watches, w)
	}
}
