package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A host is an agent with all that belongs to it: its directory, its Nexus and
// what happened to its VMMs.
type host struct {
	*agent
	setup  setup
	dir    string
	config string
	ground ground
	nexus  *nexus
	admin  *admin.Client
	past   *timeline
	// shared: it has VMMs of other tests.
	shared bool
	// ended is set once the test itself has ended the agent.
	ended bool
}

func (h *host) stateDir() string { return filepath.Join(h.dir, "state") }
func (h *host) temp() string     { return filepath.Join(h.dir, "tmp") }

// hasEnded tells whether the agent has, if there was one.
func (h *host) hasEnded() bool {
	if h.agent == nil {
		return true
	}
	select {
	case <-h.exited:
		return true
	default:
		return false
	}
}

// open makes the host and starts its agent.
func (l *sled) open() {
	l.t.Helper()
	dir, err := os.MkdirTemp("", "sled-e2e-") // Not t.TempDir: a socket's path has to be short.
	if err != nil {
		l.t.Fatal(err)
	}
	l.dir, l.past = dir, newTimeline()
	if err := os.Mkdir(l.temp(), 0o700); err != nil {
		l.t.Fatal(err)
	}
	l.ground = newGround(l.t, dir, l.setup.argv(dir))
	addr := ""
	if !l.setup.standalone {
		l.nexus = newNexus(l.t, l.ground, l.setup.nexusPort)
		addr = l.nexus.url
	}
	l.config = writeConfig(l.t, dir, l.setup.config(dir, addr, l.ground))
	l.start()
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
	l.past.follow(l.admin)
	trial.Until(l.t, trial.Patience, func() string {
		if got := l.call("GET", "/vmms/"+uuid.NewString()+"/state", nil); got.status != http.StatusNotFound {
			return fmt.Sprintf("an unknown VMM's state is answered with %v", got)
		}
		return ""
	})
}

// restart kills the agent and starts the next one.
func (l *sled) restart() {
	l.t.Helper()
	l.past.stop()
	l.kill()
	l.start()
}

// close ends what the tests have left, checks that nothing remains and removes
// the directory.
func (l *sled) close() {
	if l.dir == "" {
		return
	}
	defer func() {
		if l.ground != nil {
			l.ground.end(l.t)
		}
		killLeftovers(l.dir)
		if err := os.RemoveAll(l.dir); err != nil {
			l.t.Errorf("remove the test's directory: %v", err)
		}
	}()
	if l.agent != nil && !l.ended {
		l.conclude()
	}
	if l.nexus != nil {
		l.nexus.close()
	}
	if l.t.Failed() {
		l.report()
	}
}

// conclude ends VMMs and agent in an orderly way.
func (l *sled) conclude() {
	if l.hasEnded() {
		l.t.Errorf("the agent ended by itself with status %d", l.status)
		return
	}
	if l.nexus != nil {
		l.nexus.heal()
	}
	l.release()
	l.nothingLeft()
	l.past.stop()
	l.terminate()
	l.soundLog()
	if left := leftovers(l.dir); len(left) > 0 {
		l.t.Errorf("after the agent's end there is still: %v", left)
	}
	if l.past.lost > 0 {
		l.t.Errorf("%d events were lost", l.past.lost)
	}
	if l.nexus != nil {
		l.nexus.judge(l.t)
	}
}

// nothingLeft checks promise L with all VMMs over.
func (l *sled) nothingLeft() {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := append(l.ground.all(), entries(l.temp())...)
		if len(left) == 0 {
			left = children(l.pid())
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
	for _, v := range l.own.all() {
		if l.nexus != nil {
			row, _ := l.nexus.Row(v.id)
			l.t.Logf("Nexus: %s", describe(row))
		}
	}
	if l.agent != nil {
		l.t.Logf("the agent's log:\n%s", l.concerning(l.said()))
	}
}

// concerning leaves out of a log what concerns other tests' VMMs.
func (l *sled) concerning(log string) string {
	if !l.shared {
		return log
	}
	var b strings.Builder
	for line := range strings.Lines(log) {
		for _, v := range l.own.all() {
			if strings.Contains(line, v.id.String()) {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
