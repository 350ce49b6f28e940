package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
)

// Every invalid registration is refused. None leaves anything behind or ends the agent (X).
func TestBrokenRegistrations(t *testing.T) {
	h := newHarness(t, setup{})
	work := make(chan wiretest.Damage)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for d := range work {
				got, err := h.ask(bounded(t), "PUT", "/vmms/"+uuid.NewString(), d.Body)
				if err != nil || got.status != http.StatusBadRequest {
					t.Errorf("%s %s: got %v, %v, want status 400", d.Path, d.How, got, err)
				}
			}
		})
	}
	for i, d := range wiretest.Damages() {
		if i%29 == 0 { // The decoder's own tests cover all of them.
			work <- d
		}
	}
	close(work)
	wg.Wait()
	h.stillWorks()
}

// stillWorks checks that the agent has no VMM and that a VMM can go through its lifecycle.
func (h *harness) stillWorks() {
	h.t.Helper()
	waitFor(h.t, func() string { // one that was forgotten just now may still be listed
		if all, err := h.admin.List(bounded(h.t)); err != nil || len(all) != 0 {
			return fmt.Sprintf("the agent has VMMs %v, %v", all, err)
		}
		return ""
	})
	h.launch().stopAndEnd()
}

// Invalid bodies and requests get an error body and have no other effect.
func TestHostileRequests(t *testing.T) {
	h := newHarness(t, setup{})
	v := h.launch()
	before := v.record()
	good := wire.NewBody(wire.BodyOptions{})
	state, fresh := v.path()+"/state", "/vmms/"+uuid.NewString()
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		body         []byte
		want         int
	}{
		"no version":              {"GET", state, header("api-version", ""), nil, 400},
		"half a version":          {"GET", state, header("api-version", "48"), nil, 400},
		"no version at all":       {"GET", state, header("api-version", "new"), nil, 400},
		"a version to come":       {"GET", state, header("api-version", "999.0.0"), nil, 400},
		"a version in octets":     {"GET", state, header("api-version", "48.0.0\xff"), nil, 400},
		"an unknown path":         {"GET", "/nowhere", nil, nil, 404},
		"a known path's method":   {"PATCH", state, nil, nil, 405},
		"no id":                   {"GET", "/vmms/no-id/state", nil, nil, 400},
		"a long id":               {"GET", "/vmms/" + strings.Repeat("a", 5000) + "/state", nil, nil, 400},
		"an id of dots":           {"GET", "/vmms/../state", nil, nil, 400},
		"an id of other octets":   {"GET", "/vmms/%00%ff/state", nil, nil, 400},
		"another content type":    {"PUT", fresh, header("content-type", "text/plain"), good, 400},
		"no body":                 {"PUT", fresh, nil, []byte{}, 400},
		"no JSON":                 {"PUT", fresh, nil, []byte("\x00\x01"), 400},
		"half a body":             {"PUT", fresh, nil, good[:len(good)/2], 400},
		"too much of a body":      {"PUT", fresh, nil, bytes.Repeat([]byte(" "), 2<<20), 400},
		"much too much":           {"PUT", fresh, nil, bytes.Repeat([]byte("["), 64<<20), 400},
		"a deep body":             {"PUT", fresh, nil, bytes.Repeat([]byte(`{"a":`), 100_000), 400},
		"a broad body":            {"PUT", fresh, nil, append(bytes.Repeat([]byte(`[`), 1), bytes.Repeat([]byte("0,"), 400_000)...), 400},
		"a state that is none":    {"PUT", state, nil, stateBody("exploded"), 400},
		"a state that is null":    {"PUT", state, nil, []byte(`{"state":null}`), 400},
		"a target without source": {"PUT", state, nil, stateBody("migration_target"), 400},
		"a disk of dots":          {"POST", v.path() + "/disks/%2e%2e%2f%2e%2e/snapshot", nil, []byte("{}"), 400},
	} {
		var got answer
		waitFor(t, func() string {
			var err error
			if got, err = h.send(c.method, c.path, c.header, c.body); err != nil { // The agent may have closed the connection early.
				h.agent().runs(t)
				return fmt.Sprintf("%s: %v", name, err)
			}
			return ""
		})
		if got.status != c.want || !bytes.Contains(got.body, []byte(`"request_id"`)) || !bytes.Contains(got.body, []byte(`"message"`)) {
			t.Errorf("%s: got %v, want status %d and an error body", name, got, c.want)
		}
		if got.header.Get("x-request-id") == "" {
			t.Errorf("%s: the answer has no x-request-id", name)
		}
	}
	if after := v.record(); after != before {
		t.Errorf("the VMM was %v and is %v", before, after)
	}
	v.stopAndEnd()
	h.stillWorks()
}

func header(key, value string) http.Header { return http.Header{http.CanonicalHeaderKey(key): {value}} }

// send sends a request with the given headers instead of Nexus's; empty ones are omitted.
func (h *harness) send(method, path string, headers http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(bounded(h.t), method, "http://"+h.addr, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.URL.Opaque = path // unmodified
	req.Header.Set("api-version", apiVersion)
	req.Header.Set("content-type", "application/json")
	for key, values := range headers {
		req.Header.Set(key, values[0])
		if values[0] == "" {
			req.Header.Del(key)
		}
	}
	return h.exchange(req)
}

// A client that disconnects changes nothing: its requests are carried out.
func TestClientsThatHangUp(t *testing.T) {
	h := sharedHarness(t)
	v := h.launch()
	v.setFaults("hang-stop")
	c, err := net.Dial("tcp", h.addr)
	must(t, err)
	body := stateBody("stopped")
	s := stop{sent: time.Now(), grace: grace}
	fmt.Fprintf(c, "PUT %s/state?grace=%s HTTP/1.1\r\nhost: x\r\napi-version: 48.0.0\r\ncontent-type: application/json\r\n"+
		"content-length: %d\r\n\r\n%s", v.path(), grace, len(body), body)
	c.Close()
	v.removedAtDeadline(s)
	v.endsDestroyed()
}

// Requests of all kinds at once, in any order: every VMM ends properly (X, T).
func TestEverythingAtOnce(t *testing.T) {
	h := newHarness(t, setup{})
	vms := make([]*vm, 0, 6)
	for range cap(vms) {
		vms = append(vms, h.register())
	}
	var wg sync.WaitGroup
	for i := range 48 {
		v := vms[i%len(vms)]
		wg.Go(func() {
			for _, ask := range []struct{ method, path, target string }{
				{"PUT", "/state", "running"}, {"GET", "/state", ""}, {"PUT", "/state", "reboot"},
				{"PUT", "/state?grace=2s", "stopped"}, {"PUT", "/state", "running"}, {"GET", "/state", ""},
			} {
				var body []byte
				if ask.target != "" {
					body = stateBody(ask.target)
				}
				if _, err := h.ask(bounded(t), ask.method, v.path()+ask.path, body); err != nil {
					t.Errorf("%s %s: %v", ask.method, ask.target, err)
				}
			}
		})
	}
	wg.Wait()
	for _, v := range vms {
		v.ends(vmm.WireDestroyed)
	}
}

// A flood of different requests, accepted and refused, displaces only its own repeats from a VMM's
// history, and does not make the history longer.
func TestFloodOfRequestsKeepsTheHistory(t *testing.T) {
	h := sharedHarness(t)
	v := h.launch()
	v.setFaults("ignore-stop")
	v.stop(never)
	v.event("asked")
	before := v.status().Events
	for n := range 150 {
		v.putState("stopped", fmt.Sprintf("grace=%ds", 3600-n)).wants(t, http.StatusOK)
		for _, target := range []string{"reboot", "running"} {
			if got := v.putState(target, ""); got.status < 400 {
				t.Fatalf("%s of a VMM that stops: %v", target, got)
			}
		}
		v.readState().wants(t, http.StatusOK)
	}
	s := v.stop(grace)
	after := v.status()
	if text, err := json.Marshal(after); err != nil || len(after.Events) > 100 || len(text) > 64<<10 {
		t.Errorf("%d events in %d bytes, %v", len(after.Events), len(text), err)
	}
	for _, e := range before {
		if !slices.ContainsFunc(after.Events, func(a vmm.Event) bool { return a.Kind == e.Kind && a.At.Equal(e.At) }) {
			t.Errorf("the flood has displaced %s %q", e.Kind, e.Text)
		}
	}
	v.removedAtDeadline(s)
	v.endsDestroyed()
	ended, err := h.admin.Show(bounded(t), v.id)
	if err != nil || !slices.ContainsFunc(ended.Events, func(e vmm.Event) bool { return e.Kind == "registered" }) {
		t.Errorf("after its end the VMM has the events %v, %v", ended.Events, err)
	}
}
