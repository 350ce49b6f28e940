package e2e

import (
	"net/http"
	"slices"
	"sync"
	"testing"
)

// A sled is a host as one test sees it.
type sled struct {
	*host
	t *testing.T
	// own are the VMMs of the test and its subtests.
	own *roster
}

// A roster is a list of VMMs.
type roster struct {
	mu  sync.Mutex
	vms []*vm
}

func (r *roster) add(v *vm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.vms = append(r.vms, v)
}

func (r *roster) all() []*vm {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.vms)
}

// newSled starts an agent and its Nexus for one test. When the test ends, what is
// left of the VMMs is unregistered and the agent ended; then nothing may remain.
func newSled(t *testing.T, s setup) *sled {
	t.Helper()
	if !s.alone {
		t.Parallel()
	}
	l := &sled{&host{setup: s}, t, &roster{}}
	t.Cleanup(l.close)
	l.open()
	return l
}

// in returns the sled for a subtest, which may go on beside others.
func (l *sled) in(t *testing.T) *sled {
	t.Parallel()
	return &sled{l.host, t, l.own}
}

// release gives the VMMs that the test has left back to Nexus, unless the agent
// has ended.
func (l *sled) release() {
	for _, v := range l.own.all() {
		if !v.over && !l.hasEnded() {
			l.call("DELETE", v.path(), nil).wants(l.t, http.StatusOK)
		}
	}
}

// common is the host of the tests that share one. It is there while one of them
// runs, and the last one looks whether it has left anything.
var common struct {
	mu    sync.Mutex
	host  *host
	users int
}

// sharedSled returns a sled for a test that wants nothing but VMMs of its own: other
// such tests have theirs there at the same time, and neither the agent nor Nexus
// is to be touched.
func sharedSled(t *testing.T) *sled {
	t.Helper()
	t.Parallel()
	common.mu.Lock()
	defer common.mu.Unlock()
	l := &sled{common.host, t, &roster{}}
	if common.users == 0 {
		l.host = &host{shared: true}
		common.host = l.host
	}
	common.users++
	t.Cleanup(l.leave)
	if common.users == 1 {
		l.open()
	}
	return l
}

// leave ends a test's use of the common host.
func (l *sled) leave() {
	common.mu.Lock()
	defer common.mu.Unlock()
	common.users--
	if common.users == 0 {
		l.close()
		return
	}
	if l.t.Failed() {
		l.report()
	}
	l.release()
}
