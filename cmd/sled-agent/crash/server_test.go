package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// servers returns the processes that serve at the VMM's address, without their
// zone's init.
func (v *vm) servers() (all []process) {
	for _, p := range mentioning(v.addr.String(), "cmdline") {
		if !strings.Contains(p.line, "propolis-sim") {
			continue
		}
		if p, ok := processAt(p.pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// sim asks something of the simulator's own API; false if nobody answers.
func (v *vm) sim(method, path string, body, into any) bool {
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Error(err)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+v.addr.String()+"/sim/"+path, bytes.NewReader(text))
	if err != nil {
		v.t.Error(err)
		return false
	}
	got, err := exchange(v.l.client, req)
	if err != nil || got.status >= 300 {
		return false
	}
	return into == nil || json.Unmarshal(got.body, into) == nil
}

// pin takes down which process serves the VM, if there is one with a VM: from
// now on that is the one, whatever becomes of the agent.
func (v *vm) pin() {
	v.mu.Lock()
	pinned := v.server != process{} || v.mayEnd
	v.mu.Unlock()
	if pinned {
		return
	}
	var state struct{ VM *struct{ State string } }
	if !v.sim("GET", "state", nil, &state) || state.VM == nil {
		return
	}
	servers := v.servers()
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case len(servers) == 1:
		v.server = servers[0]
	case len(servers) > 1:
		v.t.Errorf("VMM %s has %d servers: %v", v.id, len(servers), servers)
	}
}

// lies puts faults in the place of those that are in force at the server.
func (v *vm) lies(modes ...string) {
	v.t.Helper()
	if !v.sim("PUT", "faults", modes, nil) {
		v.t.Fatalf("the server of VMM %s takes no faults", v.id)
	}
}
