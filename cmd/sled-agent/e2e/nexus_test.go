package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A nexus is a simulated Nexus that checks a VMM's zone whenever its terminal state arrives.
type nexus struct {
	*nexussim.Server
	backend backend // where zones are
	url     string
	front   *http.Server

	mu        sync.Mutex
	premature []string
}

func newNexus(t testing.TB, b backend, ownPort bool) *nexus {
	t.Helper()
	n := &nexus{Server: nexussim.New(nexussim.Options{}), backend: b}
	if ownPort {
		addr, err := n.Listen("127.0.0.1:0")
		must(t, err)
		n.url = "http://" + addr
		return n
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n.url = "http://" + ln.Addr().String()
	n.front = &http.Server{Handler: n}
	go n.front.Serve(ln)
	return n
}

// ServeHTTP checks promise T on each record and passes it on.
func (n *nexus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var record vmm.Record
	if id, err := uuid.Parse(path.Base(r.URL.Path)); err == nil && json.Unmarshal(body, &record) == nil && record.VMM.State.Terminal() {
		n.checkGone(id, record.VMM.State)
	}
	n.Handler().ServeHTTP(w, r)
}

// checkGone records what still exists of a VMM that was reported as ended.
func (n *nexus) checkGone(id uuid.UUID, state vmm.WireState) {
	left := n.backend.of(id)
	if len(left) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.premature = append(n.premature, fmt.Sprintf("VMM %s was reported %s and there is still: %q", id, state, left))
}

// received returns the retained records of a VMM that were processed so far.
func (n *nexus) received(id uuid.UUID) (puts []nexussim.Put) {
	all, _ := n.Puts(0)
	for _, p := range all {
		if p.VMM == id && p.Record != nil {
			puts = append(puts, p)
		}
	}
	return puts
}

// setFaults replaces the faults in force.
func (n *nexus) setFaults(specs ...string) {
	if err := n.SetFault(specs...); err != nil {
		panic(err) // The test is wrong.
	}
}

func (n *nexus) close() {
	n.Close()
	if n.front != nil {
		n.front.Close()
	}
}

// judge fails the test for everything that Nexus should not have received.
func (n *nexus) judge(t testing.TB) {
	t.Helper()
	for _, v := range n.Violations() {
		t.Errorf("Nexus received a contradiction: %s: %s", v.Rule, v.Text)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.premature {
		t.Error(p)
	}
}

// describe formats a row in one line.
func describe(row nexussim.Row) string {
	var states []string
	for _, s := range row.History {
		states = append(states, fmt.Sprintf("%s(%d)x%d", s.State, s.Gen, s.Times))
	}
	return fmt.Sprintf("VMM %s, acknowledged %d: %s", row.ID, row.Acked, strings.Join(states, " "))
}
