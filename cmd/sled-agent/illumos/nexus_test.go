package illumos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// A nexus is a simulated Nexus that looks for a VMM's zone whenever its terminal
// state arrives.
type nexus struct {
	*nexussim.Server
	URL  string
	host *illumostest.Host

	mu        sync.Mutex
	premature []string
}

func newNexus(t *testing.T, host *illumostest.Host) *nexus {
	n := &nexus{Server: nexussim.New(nexussim.Options{}), host: host}
	front := httptest.NewServer(n)
	n.URL = front.URL
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		n.Close()
	})
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
	if id, err := uuid.Parse(path.Base(r.URL.Path)); err == nil && json.Unmarshal(body, &record) == nil &&
		record.VMM.State.Terminal() {
		n.inspect(id, record.VMM.State)
	}
	n.Handler().ServeHTTP(w, r)
}

// inspect notes what there still is of a VMM that is said to have ended.
func (n *nexus) inspect(id uuid.UUID, state vmm.WireState) {
	zone := prefix + id.String()
	_, dataset := n.host.Datasets()["rpool/zones/"+zone]
	is, pids := n.host.State(zone), n.host.Processes(zone)
	if is == "" && len(pids) == 0 && !dataset {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.premature = append(n.premature, fmt.Sprintf("VMM %s was reported %s: its zone is %q, with processes %v and dataset %v",
		id, state, is, pids, dataset))
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
