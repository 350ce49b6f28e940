package illumos

import (
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// watchEvery is how often the zones that are watched are looked at, all with
// one list. The kernel has events for this, but its interface is private
// (sysevent channel com.sun:zones:status).
const watchEvery = 2 * time.Second

// watches are those that are to be told of an end. One goroutine serves them
// all while there are any.
type watches struct {
	mu      sync.Mutex
	byID    map[*watch]struct{}
	polling bool
	// poke makes the poller look at once, for a watch that is new.
	poke chan struct{}
}

// A watch is told of one end. Its fields are the poller's, but for the constants
// name and ended.
type watch struct {
	name  string
	ended func(zone.End)
	// incarnation is the boot that is watched; empty before the first look.
	incarnation string
}

// Watch implements zone.Manager. It sees the end of the zone, not of the server
// in it, which SMF may start again; up to 2 s later. A zone that reboots itself
// has ended.
func (m *Manager) Watch(name string, ended func(zone.End)) (stop func()) {
	w := &watch{name: name, ended: ended}
	ws := &m.watches
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byID[w] = struct{}{}
	if !ws.polling && m.life.Err() == nil {
		ws.polling, ws.poke = true, make(chan struct{}, 1)
		m.background.Go(m.poll)
	}
	select {
	case ws.poke <- struct{}{}:
	default: // it will look anyway
	}
	return func() { ws.take(w) }
}

// take ends a watch and tells whether it had not ended before, so that nobody
// is told twice, nor after stop.
func (ws *watches) take(w *watch) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	_, there := ws.byID[w]
	delete(ws.byID, w)
	return there
}

// snapshot returns the watches; if there are none, the poller must end.
func (ws *watches) snapshot() []*watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var all []*watch
	for w := range ws.byID {
		all = append(all, w)
	}
	ws.polling = len(all) > 0
	return all
}

func (m *Manager) poll() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	poke := m.watches.poke
	for {
		all := m.watches.snapshot()
		if len(all) == 0 {
			return
		}
		m.check(all)
		select {
		case <-poke:
		case <-tick.C:
		case <-m.life.Done():
			return
		}
	}
}

// check looks once for all. A list that fails says nothing about any zone.
func (m *Manager) check(all []*watch) {
	l, err := m.zones.get(m.life)
	if err != nil {
		if m.life.Err() == nil {
			m.cfg.Log.Warn().Err(err).Int("watches", len(all)).Msg("cannot look at the zones that are watched, will try again")
		}
		return
	}
	for _, w := range all {
		if i, err := l.look(w.name); err == nil {
			if how := w.see(i); how != "" && m.watches.take(w) {
				// Whoever is told may call this manager or wait; the others are told
				// all the same.
				go w.ended(zone.End{How: how})
			}
		}
	}
}

// see says how the watched boot has ended; empty if it has not.
func (w *watch) see(i zone.Info) string {
	switch {
	case i.State == zone.Absent:
		return "zone is gone"
	case i.State != zone.Running:
		return "zone is " + i.State.String()
	case w.incarnation == "":
		w.incarnation = i.Incarnation
	case w.incarnation != i.Incarnation:
		return "zone has rebooted"
	}
	return ""
}
