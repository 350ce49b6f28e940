package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// Every way to break a registration is refused, and none of them leaves anything
// or ends the agent (X).
func TestBrokenRegistrations(t *testing.T) {
	l := newSled(t, setup{})
	work := make(chan wiretest.Damage)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for d := range work {
				got, err := l.ask(trial.Bounded(t, trial.Patience), "PUT", "/vmms/"+uuid.NewString(), d.Body)
				if err != nil || got.status != http.StatusBadRequest {
					t.Errorf("%s %s: got %v, %v, want status 400", d.Path, d.How, got, err)
				}
			}
		})
	}
	for i, d := range wiretest.Damages() {
		if i%29 == 0 { // The decoder's own tests try them all.
			work <- d
		}
	}
	close(work)
	wg.Wait()
	l.knowsNothing()
	l.serves()
}

// knowsNothing checks that the agent has no VMM.
func (l *sled) knowsNothing() {
	l.t.Helper()
	if all, err := l.admin.List(trial.Bounded(l.t, trial.Patience)); err != nil || len(all) != 0 {
		l.t.Errorf("the agent has VMMs %v, %v", all, err)
	}
}

// serves checks that a whole life still works.
func (l *sled) serves() {
	l.t.Helper()
	l.runs()
	v := l.launch()
	v.stop(time.Minute)
	v.endsDestroyed()
}

// Bodies and requests that are no such thing get an error body and nothing else.
func TestHostileRequests(t *testing.T) {
	l := newSled(t, setup{})
	v := l.launch()
	before := record(t, v.state().body)
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
		"a state that is none":    {"PUT", state, nil, target2body("exploded"), 400},
		"a state that is null":    {"PUT", state, nil, []byte(`{"state":null}`), 400},
		"a target without source": {"PUT", state, nil, target2body("migration_target"), 400},
		"a disk of dots":          {"POST", v.path() + "/disks/%2e%2e%2f%2e%2e/snapshot", nil, []byte("{}"), 400},
	} {
		got, err := l.send(c.method, c.path, c.header, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.status != c.want || !bytes.Contains(got.body, []byte(`"request_id"`)) || !bytes.Contains(got.body, []byte(`"message"`)) {
			t.Errorf("%s: got %v, want status %d and an error body", name, got, c.want)
		}
		if got.header.Get("x-request-id") == "" {
			t.Errorf("%s: the answer has no x-request-id", name)
		}
	}
	if after := record(t, v.state().body); *after != *before {
		t.Errorf("the VMM was %v and is %v", before, after)
	}
	v.stop(time.Minute)
	v.endsDestroyed()
	l.knowsNothing()
	l.serves()
}

func header(key, value string) http.Header { return http.Header{http.CanonicalHeaderKey(key): {value}} }

// send sends a request with other headers than Nexus's; one that is empty is left
// out.
func (l *sled) send(method, path string, headers http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(trial.Bounded(l.t, trial.Patience), method, "http://"+l.addr, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.URL.Opaque = path // As it is, not cleaned.
	req.Header.Set("api-version", apiVersion)
	req.Header.Set("content-type", "application/json")
	for key, values := range headers {
		req.Header.Set(key, values[0])
		if values[0] == "" {
			req.Header.Del(key)
		}
	}
	return exchange(req)
}

// Clients that do not speak HTTP, or begin to and stop, occupy nothing that
// others need (Q, X).
func TestHostileConnections(t *testing.T) {
	l := newSled(t, setup{})
	for i := range 200 {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, []string{"", "\x16\x03\x01\x02\x00", "GET /zones HT", "PUT /vmms/x HTTP/1.1\r\nhost: x\r\n",
			fmt.Sprintf("PUT /vmms/%s HTTP/1.1\r\nhost: x\r\napi-version: 48.0.0\r\ncontent-length: 1000\r\n\r\n{", uuid.NewString()),
			"GET /zones HTTP/1.1\r\n" + strings.Repeat("x: y\r\n", 2000)}[i%6]) // It may hang up.
	}
	l.call("GET", "/zones", nil).quick(t).wants(t, 200)
	l.serves()
	l.knowsNothing()
}

// A client that gives up changes nothing: what it has asked for happens.
func TestClientsThatHangUp(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("hang-stop")
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	body := target2body("stopped")
	s := stop{sent: time.Now(), grace: grace}
	fmt.Fprintf(c, "PUT %s/state?grace=%s HTTP/1.1\r\nhost: x\r\napi-version: 48.0.0\r\ncontent-type: application/json\r\n"+
		"content-length: %d\r\n\r\n%s", v.path(), grace, len(body), body)
	c.Close()
	s.answered = v.event("stop").At
	v.removedOnTime(s)
	v.endsDestroyed()
}

// Requests of all kinds at once, in any order: every VMM ends as it should (X, T).
func TestEverythingAtOnce(t *testing.T) {
	l := newSled(t, setup{})
	vms := make([]*vm, 0, 6)
	for range cap(vms) {
		vms = append(vms, l.register())
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
					body = target2body(ask.target)
				}
				if _, err := l.ask(trial.Bounded(t, trial.Patience), ask.method, v.path()+ask.path, body); err != nil {
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
