package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A nexus is a simulated Nexus that looks for a VMM's zone whenever its terminal
// state arrives.
type nexus struct {
	*nexussim.Server
	ground ground // where it looks for zones
	url    string
	front  *http.Server

	mu        sync.Mutex
	premature []string
	heard     map[uuid.UUID][]heard
}

// heard is a record that has arrived, whatever became of it.
type heard struct {
	at  time.Time
	vmm vmm.Runtime
}

func newNexus(t *testing.T, g ground, ownPort bool) *nexus {
	t.Helper()
	n := &nexus{Server: nexussim.New(nexussim.Options{}), ground: g, heard: map[uuid.UUID][]heard{}}
	if ownPort {
		addr, err := n.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		n.url = "http://" + addr
		return n
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.url = "http://" + ln.Addr().String()
	n.front = &http.Server{Handler: n}
	go n.front.Serve(ln)
	return n
}

// ServeHTTP checks promise T on what arrives and hands it on.
func (n *nexus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var record vmm.Record
	if id, err := uuid.Parse(path.Base(r.URL.Path)); err == nil && json.Unmarshal(body, &record) == nil {
		n.note(id, heard{time.Now(), record.VMM})
		if record.VMM.State.Terminal() {
			n.inspect(id, record.VMM.State)
		}
	}
	n.Handler().ServeHTTP(w, r)
}

func (n *nexus) note(id uuid.UUID, h heard) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard[id] = append(n.heard[id], h)
}

// heardOf returns what has arrived of a VMM, in order.
func (n *nexus) heardOf(id uuid.UUID) []heard {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heard[id])
}

// inspect notes what there still is of a VMM that is said to have ended.
func (n *nexus) inspect(id uuid.UUID, state vmm.WireState) {
	left := n.ground.of(id)
	if len(left) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.premature = append(n.premature, fmt.Sprintf("VMM %s was reported %s and there is still: %q", id, state, left))
}

// fault puts faults in the place of those in force.
func (n *nexus) fault(specs ...string) {
	if err := n.SetFault(specs...); err != nil {
		panic(err) // The test is wrong.
	}
}

func (n *nexus) heal() { n.fault() }

func (n *nexus) close() {
	n.Close()
	if n.front != nil {
		n.front.Close()
	}
}

// judge fails the test for everything that Nexus should not have heard.
func (n *nexus) judge(t *testing.T) {
	t.Helper()
	for _, v := range n.Violations() {
		t.Errorf("Nexus was told a contradiction: %s: %s", v.Rule, v.Text)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.premature {
		t.Error(p)
	}
}

// describe writes a row in one line.
func describe(row nexussim.Row) string {
	var states []string
	for _, s := range row.History {
		states = append(states, fmt.Sprintf("%s(%d)x%d", s.State, s.Gen, s.Times))
	}
	return fmt.Sprintf("VMM %s, acknowledged %d: %s", row.ID, row.Acked, strings.Join(states, " "))
}
