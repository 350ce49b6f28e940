package process

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// A tree is a watched process tree. It is in Manager.trees until its init has ended
// and, if it was the agent's child, was reaped.
type tree struct {
	boot   zonedir.Boot
	handle *proc.Handle
	// killed is set once Kill has sent the kill.
	killed atomic.Bool
	// watchers are notified of the end; guarded by Manager.mu.
	watchers map[*watcher]struct{}
}

// tree returns the zone's watched tree; nil if it has no live one.
func (m *Manager) tree(name string) *tree {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.liveTree(name)
}

// liveTree is tree for callers that hold m.mu.
func (m *Manager) liveTree(name string) *tree {
	t := m.trees[name]
	if t == nil {
		return nil
	}
	select {
	case <-t.handle.Done():
		return nil
	default:
		return t
	}
}

// watchTree records the zone's tree and watches it, or returns the tree that the zone
// has already. It checks ctx under m.mu, so that a removal that cancels ctx either sees
// the tree or keeps it from being recorded. Without an error it takes over the handle.
func (m *Manager) watchTree(ctx context.Context, name string, b zonedir.Boot, h *proc.Handle) (*tree, error) {
	t := &tree{boot: b, handle: h, watchers: make(map[*watcher]struct{})}
	m.mu.Lock()
	if err := context.Cause(ctx); err != nil {
		m.mu.Unlock()
		return nil, err
	}
	if have := m.liveTree(name); have != nil {
		m.mu.Unlock()
		if have.boot.Init != b.Init {
			return nil, fmt.Errorf("process %v runs as the zone already", have.boot.Init)
		}
		h.Close()
		return have, nil
	}
	m.trees[name] = t
	m.mu.Unlock()
	if err := m.poller.Add(h, func(end proc.End) { m.ended(name, t, end) }); err != nil {
		m.drop(name, t)
		return nil, err
	}
	return t, nil
}

var _ zone.Holder = (*Manager)(nil)

// Hold implements zone.Holder. Only a zone with a PID namespace can be killed by one
// call: the kernel kills the namespace with its first process (pid_namespaces(7)).
func (m *Manager) Hold(name string) zone.Handle {
	if t := m.tree(name); t != nil && t.boot.PIDNS {
		return t
	}
	return nil
}

// Kill implements zone.Handle.
func (t *tree) Kill() bool {
	t.killed.Store(true)
	sent := t.handle.Signal(syscall.SIGKILL) == nil
	if !sent {
		t.killed.Store(false)
	}
	return sent
}

// Ended implements zone.Handle.
func (t *tree) Ended() <-chan struct{} { return t.handle.Done() }

// adopt watches the zone's running tree, which an earlier agent may have booted. It
// returns nil if none runs.
func (m *Manager) adopt(name string) (*tree, error) {
	ps, err := m.found(name)
	if err != nil {
		return nil, err
	}
	if ps.tree != nil || !ps.running {
		return ps.tree, nil
	}
	h, err := proc.Open(ps.boot.Init)
	if errors.Is(err, proc.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := m.watchTree(context.Background(), name, ps.boot, h)
	if err != nil {
		h.Close()
		return nil, err
	}
	return t, nil
}

// ended is called on the poller's goroutine, so it must not block.
func (m *Manager) ended(name string, t *tree, end proc.End) {
	watchers := m.drop(name, t)
	if len(watchers) == 0 {
		return
	}
	go func() {
		how := zone.End{How: proc.How(syscall.WaitStatus(syscall.SIGKILL))}
		if !t.killed.Load() {
			how = m.how(name, end)
		}
		for w := range watchers {
			go w.notify(how)
		}
	}()
}

// drop removes a tree and returns its watchers.
func (m *Manager) drop(name string, t *tree) map[*watcher]struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trees[name] == t {
		delete(m.trees, name)
	}
	watchers := t.watchers
	t.watchers = nil
	return watchers
}

// how returns how the zone's server ended: as its init recorded it, else how the
// init itself ended.
func (m *Manager) how(name string, end proc.End) zone.End {
	if root, err := zonedir.Open(m.dir, name); err == nil {
		defer root.Close()
		if exit, err := zonedir.Read(root, zonedir.ExitFile, zonedir.ParseExit); err == nil {
			return zone.End{How: exit.How}
		}
	}
	if end.Child && end.Status.Signaled() {
		return zone.End{How: proc.How(end.Status)}
	}
	return zone.End{How: "zone is gone"}
}
