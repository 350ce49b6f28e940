package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
)

// A host has one agent, or several in turn, with their directory and Nexus.
type host struct {
	setup   setup
	dir     string
	addr    string  // of the sled API
	scheme  string  // of its URL; empty: http
	config  section // of the next agent
	stderr  *os.File
	backend backend
	nexus   *nexus
	admin   *admin.Client
	client  *http.Client
	// shared: other tests have VMMs on it, too.
	shared bool

	// restarting is held while a new agent replaces another one.
	restarting sync.Mutex
	mu         sync.Mutex
	agents     []*agent
}

// A harness is a host as used by one test.
type harness struct {
	*host
	t testing.TB
	// own holds the VMMs of the test and its subtests.
	own *vmList
}

// A vmList is a list for concurrent use by several tests.
type vmList struct {
	mu  sync.Mutex
	vms []*vm
}

func (l *vmList) add(v *vm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vms = append(l.vms, v)
}

func (l *vmList) all() []*vm {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.vms)
}

// newHarness starts an agent and its Nexus for one test, in parallel with others. When the test
// ends, the remaining VMMs are unregistered and the agent is ended; then nothing may be left.
func newHarness(t testing.TB, s setup) *harness {
	t.Helper()
	if t, ok := t.(*testing.T); ok && !s.sequential {
		t.Parallel()
	}
	h := &harness{&host{setup: s}, t, &vmList{}}
	h.open()
	return h
}

// in returns the harness for a subtest, which runs in parallel with others.
func (h *harness) in(t *testing.T) *harness {
	t.Parallel()
	return h.with(t)
}

func (h *harness) with(t *testing.T) *harness { return &harness{h.host, t, h.own} }

// common is the host of the tests that share one. It exists while any of them runs, and the last
// one checks that nothing is left.
var common struct {
	mu    sync.Mutex
	host  *host
	users int
}

// sharedHarness returns a harness for a test that needs only VMMs of its own. Other tests use the
// same host at the same time, so the test must not affect the agent or Nexus.
func sharedHarness(t *testing.T) *harness {
	t.Helper()
	t.Parallel()
	common.mu.Lock()
	defer common.mu.Unlock()
	h := &harness{common.host, t, &vmList{}}
	if common.users == 0 {
		h.host = &host{shared: true}
		common.host = h.host
	}
	common.users++
	t.Cleanup(h.leave)
	if common.users == 1 {
		h.open()
	}
	return h
}

// leave ends a test's use of the common host.
func (h *harness) leave() {
	common.mu.Lock()
	defer common.mu.Unlock()
	common.users--
	if common.users == 0 {
		h.close()
		return
	}
	if h.t.Failed() {
		h.report()
	}
	h.release()
}

func (h *host) stateDir() string          { return filepath.Join(h.dir, "state") }
func (h *host) state(name string) string  { return filepath.Join(h.stateDir(), name) }
func (h *host) zonesDir() string          { return h.state("zones") }
func (h *host) temp() string              { return filepath.Join(h.dir, "tmp") }
func (h *host) configFile() string        { return filepath.Join(h.dir, "sled-agent.toml") }
func (h *host) table(name string) section { return h.config[name].(section) }

// agent returns the newest agent; nil if there was none.
func (h *host) agent() *agent {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.agents) == 0 {
		return nil
	}
	return h.agents[len(h.agents)-1]
}

// open creates the host and starts its agent.
func (h *harness) open() {
	h.t.Helper()
	s := h.setup
	if s.restarts {
		onlyOnProcesses(h.t)
		if s.program == "" {
			h.setup.program = program(failpointAgent)
		}
	} else if s.program == "" {
		h.setup.program = program("sled-agent")
	}
	dir, err := os.MkdirTemp("", "sled-e2e-") // Not t.TempDir: a socket's path must be short.
	must(h.t, err)
	h.dir = dir
	if !h.shared { // The last test closes a shared one.
		h.t.Cleanup(h.close)
	}
	must(h.t, os.Mkdir(h.temp(), 0o700))
	h.backend = newBackend(h.t, dir, s.argv(dir))
	url := ""
	if !s.standalone {
		h.nexus = newNexus(h.t, h.backend, s.nexusPort || s.restarts)
		url = h.nexus.url
	}
	h.addr = freeAddr(h.t).String()
	h.config = s.config(dir, h.addr, url, h.backend)
	h.admin = admin.NewClient(h.state("admin.sock"))
	// The agent closes idle connections when it has many, and a PUT is not repeated.
	h.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if !s.manual {
		h.start()
	}
}

// spawn starts an agent without waiting for it.
func (h *harness) spawn() *agent {
	h.t.Helper()
	writeConfig(h.t, h.dir, h.config)
	return h.spawnBy(append(slices.Clone(h.setup.wrapper), h.setup.program, "run", "--config", h.configFile())...)
}

// spawnBy is spawn with another command line.
func (h *harness) spawnBy(argv ...string) *agent {
	h.t.Helper()
	env := []string{"TMPDIR=" + h.temp()}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.agents)
	if n < len(h.setup.env) {
		env = append(env, h.setup.env[n]...)
	}
	a, err := startAgent(h.stderr, fmt.Sprintf("%s/agent-%d.log", h.dir, n), env, argv...)
	must(h.t, err)
	h.agents = append(h.agents, a)
	return a
}

// start starts an agent and waits until it serves.
func (h *harness) start() *agent {
	h.t.Helper()
	a := h.spawn()
	h.serves(a)
	return a
}

// serves waits until the agent has loaded its ledger and answers for VMMs. For an agent that is killed
// repeatedly, any answer or its death suffices.
func (h *harness) serves(a *agent) {
	h.t.Helper()
	unknown := "/vmms/" + uuid.NewString() + "/state"
	waitFor(h.t, func() string {
		if a.hasExited() {
			if h.setup.restarts && a.killed() {
				return ""
			}
			a.runs(h.t)
		}
		got, err := h.ask(bounded(h.t), "GET", unknown, nil)
		switch {
		case err != nil:
			return err.Error()
		case got.status != http.StatusNotFound && !h.setup.restarts:
			return fmt.Sprintf("an unknown VMM's state is answered with %v", got)
		}
		return ""
	})
}

// restart kills the agent and starts the next one.
func (h *harness) restart() {
	h.t.Helper()
	a := h.agent()
	a.kill()
	h.replace(a)
}

// terminate ends the agent by SIGTERM and checks that it exits with 0.
func (h *harness) terminate() {
	h.t.Helper()
	h.agent().terminate(h.t)
}

// replace starts an agent in place of one that has exited, unless that was already done.
func (h *harness) replace(exited *agent) {
	h.t.Helper()
	h.restarting.Lock()
	defer h.restarting.Unlock()
	if h.agent() != exited {
		return
	}
	h.client.CloseIdleConnections()
	if h.setup.restarts {
		for _, v := range h.own.all() {
			v.identifyServer()
		}
		// What the last agent has sent must arrive before what the next one sends.
		if err := h.nexus.Settle(bounded(h.t)); err != nil {
			h.t.Error(err)
		}
	}
	h.start()
}

// keepRunning starts a new agent whenever one was killed, like a service manager, until stop is
// called. stop waits for an agent that is being started.
func (h *harness) keepRunning() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			a := h.agent()
			select {
			case <-done:
				return
			case <-a.exited:
			}
			if !a.killed() {
				h.t.Errorf("the agent has exited by itself: %v", a.state)
				return
			}
			h.replace(a)
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

// close ends the remaining VMMs and checks that nothing is left.
func (h *harness) close() {
	defer h.clean()
	if h.agent() != nil {
		h.conclude()
	}
	if h.nexus != nil {
		h.nexus.judge(h.t)
	}
}

// clean ends everything that still runs and removes the directory.
func (h *harness) clean() {
	if h.t.Failed() {
		h.report()
	}
	if h.nexus != nil {
		h.nexus.close()
	}
	if a := h.agent(); a != nil {
		a.kill()
		h.admin.Close()
		h.client.CloseIdleConnections()
	}
	if h.backend != nil {
		h.backend.close(h.t)
	}
	for _, p := range processes(h.dir) {
		p.kill()
	}
	waitFor(h.t, func() string {
		if err := os.RemoveAll(h.dir); err != nil {
			return err.Error()
		}
		return ""
	})
}

// conclude ends the VMMs and the agent in order, unless the test has ended the agent.
func (h *harness) conclude() {
	a := h.agent()
	if a.hasExited() {
		if !a.mayEnd.Load() {
			h.t.Errorf("the agent has exited by itself: %v", a.state)
		}
		return
	}
	if h.nexus != nil {
		h.nexus.setFaults()
	}
	h.release()
	h.checkNothingLeft(a)
	h.terminate()
	h.checkLogs()
	// A command that the agent was waiting for at its exit ends by itself.
	waitFor(h.t, func() string { return strings.Join(leftovers(h.dir), ", ") })
}

// release unregisters the remaining VMMs, unless the agent has exited.
func (h *harness) release() {
	if a := h.agent(); a == nil || a.hasExited() {
		return
	}
	for _, v := range h.own.all() {
		if !v.isOver() {
			h.call("DELETE", v.path(), nil).wants(h.t, http.StatusOK)
		}
	}
}

// checkNothingLeft checks promise L when all VMMs have ended.
func (h *harness) checkNothingLeft(a *agent) {
	h.t.Helper()
	waitFor(h.t, func() string {
		left := append(h.backend.all(), entries(h.temp())...)
		if len(left) == 0 {
			left = children(a.pid())
		}
		return strings.Join(left, ", ")
	})
}

// checkLogs checks that the agents' logs have one JSON object per line and no line of a crash. A line
// during which an agent was killed may be incomplete.
func (h *harness) checkLogs() {
	h.t.Helper()
	for _, a := range h.agents {
		for line := range strings.Lines(a.log()) {
			var entry struct{ Level, Message string }
			if strings.HasPrefix(line, "SIGABRT") {
				break // The stacks of an agent that was ended by a signal follow.
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil && (!a.killed() || strings.HasSuffix(line, "\n")) {
				h.t.Errorf("the agent's log has a line that is not a JSON object: %s", line)
				break
			}
			if entry.Level == "panic" || entry.Level == "fatal" || strings.Contains(entry.Message, "panic") {
				h.t.Errorf("the agent's log has: %s", line)
			}
		}
	}
}

// report prints what helps to find the cause of a failure.
func (h *harness) report() {
	for _, v := range h.own.all() {
		if h.nexus != nil {
			row, _ := h.nexus.Row(v.id)
			h.t.Logf("Nexus: %s", describe(row))
		}
	}
	for _, a := range h.agents {
		h.t.Logf("the log of agent %d:\n%.200000s", a.pid(), h.concerning(a.log()))
	}
}

// concerning drops the lines about other tests' VMMs from a log.
func (h *harness) concerning(log string) string {
	if !h.shared {
		return log
	}
	var b strings.Builder
	for line := range strings.Lines(log) {
		if slices.ContainsFunc(h.own.all(), func(v *vm) bool { return strings.Contains(line, v.id.String()) }) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// about returns what the agent reports about itself.
func (h *harness) about() admin.About {
	h.t.Helper()
	about, err := h.admin.About(bounded(h.t))
	must(h.t, err)
	return about
}
