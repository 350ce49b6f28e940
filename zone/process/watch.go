package process

import (
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// adoptRetry is how long a Watch waits before it tries again to open a process
// that it could not, for want of descriptors say.
const adoptRetry = time.Second

// A watcher is told of one end.
type watcher struct {
	once  sync.Once
	ended func(zone.End)
	// stopped is closed by stop.
	stopped chan struct{}
}

func (w *watcher) tell(end zone.End) {
	if !w.isStopped() {
		w.once.Do(func() { w.ended(end) })
	}
}

func (w *watcher) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// Watch implements zone.Manager. The zone runs as long as its init does, which
// ends after the server and whatever that had started.
func (m *Manager) Watch(name string, ended func(zone.End)) (stop func()) {
	w := &watcher{ended: ended, stopped: make(chan struct{})}
	if !m.attach(name, w) {
		go m.attachLater(name, w)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			close(w.stopped)
			m.detach(name, w)
		})
	}
}

// attach makes w a watcher of what runs, or tells it that nothing does. It
// fails if that cannot be found out now.
func (m *Manager) attach(name string, w *watcher) bool {
	if zone.ValidName(name) != nil {
		go w.tell(zone.End{How: "zone is gone"})
		return true
	}
	t, err := m.adopt(name)
	if err != nil {
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("cannot watch zone, will try again")
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t == nil || t.watchers == nil {
		go m.tellNow(name, w)
		return true
	}
	if !w.isStopped() {
		t.watchers[w] = struct{}{}
	}
	return true
}

func (m *Manager) tellNow(name string, w *watcher) {
	w.tell(m.how(name, proc.End{}))
}

func (m *Manager) attachLater(name string, w *watcher) {
	retry := time.NewTicker(adoptRetry)
	defer retry.Stop()
	for {
		select {
		case <-w.stopped:
			return
		case <-m.closed:
			return
		case <-retry.C:
			if m.attach(name, w) {
				return
			}
		}
	}
}

func (m *Manager) detach(name string, w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.trees[name]; t != nil {
		delete(t.watchers, w)
	}
}
