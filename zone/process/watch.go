package process

import (
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// adoptRetry is the pause before a Watch retries to open a process, for example
// after a shortage of descriptors.
const adoptRetry = time.Second

// A watcher is notified of one end.
type watcher struct {
	once  sync.Once
	ended func(zone.End)
	// stopped is closed by stop.
	stopped chan struct{}
}

func (w *watcher) notify(end zone.End) {
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

// Watch implements zone.Watcher. The zone runs as long as its init, which ends after
// the server and every process that the server started.
func (m *Manager) Watch(name string, ended func(zone.End)) (stop func()) {
	w := &watcher{ended: ended, stopped: make(chan struct{})}
	if err := m.attach(name, w); err != nil {
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("failed to watch zone; will retry")
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

// attach adds w to the watchers of the running tree, or notifies it that none runs.
// It fails if it cannot determine whether one runs.
func (m *Manager) attach(name string, w *watcher) error {
	if zone.ValidName(name) != nil {
		go w.notify(zone.End{How: "zone is gone"})
		return nil
	}
	t, err := m.adopt(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t == nil || t.watchers == nil {
		go m.notifyNow(name, w)
		return nil
	}
	if !w.isStopped() {
		t.watchers[w] = struct{}{}
	}
	return nil
}

func (m *Manager) notifyNow(name string, w *watcher) {
	w.notify(m.how(name, proc.End{}))
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
			if m.attach(name, w) == nil {
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
