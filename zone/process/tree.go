package process

import (
	"errors"
	"fmt"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// A tree is a process tree whose end is watched. It is in Manager.trees until
// its init has ended and, if that was the agent's child, was reaped.
type tree struct {
	boot   zonedir.Boot
	handle *proc.Handle
	// watchers are told of the end; guarded by Manager.mu.
	watchers map[*watcher]struct{}
}

// tree returns the zone's watched tree, nil if it has none that lives.
func (m *Manager) tree(name string) *tree {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.liveTree(name)
}

// liveTree is tree for a caller that holds the lock.
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

// watchTree makes the tree the zone's and watches it, or returns the one that
// the zone has already. allowed is asked under the lock. Without an error the
// handle is the poller's, else still the caller's.
func (m *Manager) watchTree(name string, b zonedir.Boot, h *proc.Handle, allowed func() error) (*tree, error) {
	t := &tree{boot: b, handle: h, watchers: make(map[*watcher]struct{})}
	m.mu.Lock()
	if err := allowed(); err != nil {
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

// adopt watches the tree that the zone was found to run, which another agent
// may have booted. It returns nil if none runs.
func (m *Manager) adopt(name string) (*tree, error) {
	root, err := m.open(name)
	if err != nil {
		return nil, err
	}
	if root != nil {
		defer root.Close()
	}
	g := m.grip(name, root)
	if g.tree != nil || !g.running {
		return g.tree, nil
	}
	h, err := proc.Open(g.boot.Init)
	if errors.Is(err, proc.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := m.watchTree(name, g.boot, h, func() error { return nil })
	if err != nil {
		h.Close()
		return nil, err
	}
	return t, nil
}

// ended runs on the poller's goroutine.
func (m *Manager) ended(name string, t *tree, end proc.End) {
	watchers := m.drop(name, t)
	if len(watchers) == 0 {
		return
	}
	go func() {
		how := m.how(name, end)
		for w := range watchers {
			go w.tell(how)
		}
	}()
}

// drop forgets a tree and returns who watched it.
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

// how says how the zone's server ended: as its init wrote down, else as the
// init itself did.
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
