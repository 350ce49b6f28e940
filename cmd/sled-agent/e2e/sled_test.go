package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A sled is a host as one test sees it.
type sled struct {
	*host
	t *testing.T
}

// A host is an agent with all that belongs to it: its directory, its Nexus, its
// VMMs and what happened to them.
type host struct {
	*agent
	setup  setup
	dir    string
	config string
	nexus  *nexus
	admin  *admin.Client
	past   *timeline

	// ended is set once the test itself has ended the agent.
	ended bool

	mu  sync.Mutex
	vms []*vm
}

// newSled starts an agent and its Nexus. When the test ends, what is left of the
// VMMs is unregistered and the agent ended; then nothing may remain.
func newSled(t *testing.T, s setup) *sled {
	t.Helper()
	t.Parallel()
	dir, err := os.MkdirTemp("", "sled-e2e-") // Not t.TempDir: a socket's path has to be short.
	if err != nil {
		t.Fatal(err)
	}
	l := &sled{&host{setup: s, dir: dir, past: newTimeline()}, t}
	t.Cleanup(l.clean)
	if err := os.Mkdir(l.temp(), 0o700); err != nil {
		t.Fatal(err)
	}
	addr := ""
	if !s.standalone {
		l.nexus = newNexus(t, dir, s.nexusPort)
		addr = l.nexus.url
	}
	l.config = writeConfig(t, dir, s.config(dir, addr))
	l.start()
	return l
}

// in returns the sled for a subtest, which may go on beside others.
func (l *sled) in(t *testing.T) *sled {
	t.Parallel()
	return &sled{l.host, t}
}

// start starts the agent and waits until it serves and has loaded what it knew.
func (l *sled) start() {
	l.t.Helper()
	a, addr := startAgent(l.t, l.temp(), "run", "--config", l.config)
	l.agent = a
	select {
	case a.addr = <-addr:
	case <-a.exited:
		l.t.Fatalf("the agent ended at once, with status %d", a.status)
	case <-time.After(trial.Patience):
		l.t.Fatal("the agent does not serve")
	}
	l.admin = admin.NewClient(filepath.Join(l.stateDir(), "admin.sock"))
	l.past.follow(l.t, l.admin)
	trial.Until(l.t, trial.Patience, func() string {
		if got := l.call("GET", "/vmms/"+uuid.NewString()+"/state", nil); got.status != http.StatusNotFound {
			return fmt.Sprintf("an unknown VMM's state is answered with %v", got)
		}
		return ""
	})
}

func (l *sled) stateDir() string { return filepath.Join(l.dir, "state") }
func (l *sled) temp() string     { return filepath.Join(l.dir, "tmp") }

// clean ends what the test has left, checks that nothing remains and removes the
// directory.
func (l *sled) clean() {
	if l.agent != nil && !l.ended {
		l.conclude()
	}
	if l.nexus != nil {
		l.nexus.close()
	}
	if l.t.Failed() {
		l.report()
	}
	killLeftovers(l.dir)
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Errorf("remove the test's directory: %v", err)
	}
}

// conclude ends VMMs and agent in an orderly way.
func (l *sled) conclude() {
	select {
	case <-l.exited:
		if !l.t.Failed() {
			l.t.Errorf("the agent ended by itself with status %d", l.status)
		}
		return
	default:
	}
	if l.nexus != nil {
		l.nexus.heal()
	}
	for _, v := range l.made() {
		if !v.over {
			v.unregister()
		}
	}
	l.nothingLeft()
	l.past.stop()
	l.terminate()
	l.soundLog()
	if left := leftovers(l.dir); len(left) > 0 {
		l.t.Errorf("after the agent's end there is still: %v", left)
	}
	if l.nexus != nil {
		l.nexus.judge()
	}
}

// nothingLeft checks promise L with all VMMs over.
func (l *sled) nothingLeft() {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := append(entries(zonesDir(l.dir)), entries(l.temp())...)
		if len(left) == 0 {
			left = append(leftovers(zonesDir(l.dir)), children(l.pid())...)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("10 s after the last VMM's end there is still: %q", left)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// report prints what helps to find out why the test failed.
func (l *sled) report() {
	if l.nexus != nil {
		for _, row := range l.nexus.Rows() {
			l.t.Logf("Nexus: %s", describe(row))
		}
	}
	if l.agent != nil {
		l.t.Logf("the agent's log:\n%s", l.said())
	}
}

func (l *sled) made() []*vm {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*vm(nil), l.vms...)
}
