package nexussim

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// ask sends a control request and decodes the answer into a T.
func ask[T any](t *testing.T, c *http.Client, method, url, body string, status int) (into T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: %d %s (%v), want %d", method, url, resp.StatusCode, raw, err, status)
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, raw)
		}
	}
	return into
}

func TestControlRoutes(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	c := listen(t, s)
	addr, err := s.ListenControl("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"http://" + addr, c.base} {
		if vs := ask[[]Violation](t, c.http, "GET", base+"/sim/violations", "", 200); vs == nil {
			t.Error("no violations are null and not []")
		}
		ask[struct{}](t, c.http, "GET", base+"/vmms/"+vmmB.String(), "", 404)
		ask[struct{}](t, c.http, "GET", base+"/vmms/vm-1", "", 400)
		ask[struct{}](t, c.http, "PUT", base+"/sim/faults", `["tired"]`, 400)
		ask[struct{}](t, c.http, "PUT", base+"/sim/faults", `{"faults":[]}`, 400)
		ask[struct{}](t, c.http, "PUT", base+"/sim/faults", `["delay=1ms"]`, 204)
		if got := ask[[]string](t, c.http, "GET", base+"/sim/faults", "", 200); !slices.Equal(got, []string{"delay=1ms"}) {
			t.Errorf("faults %v", got)
		}
	}
	ask[struct{}](t, c.http, "PUT", c.base+"/sim/faults", `["refuse"]`, 400)
	ask[struct{}](t, c.http, "PUT", c.base+"/sim/faults", `["cut"]`, 400)
	wantPut(t, s, vmmA, record(vmm.WireRunning, 3), 204)
	wantPut(t, s, vmmA, record(vmm.WireStopping, 4), 204)
	if rows := ask[[]Row](t, c.http, "GET", c.base+"/vmms", "", 200); len(rows) != 1 || rows[0].State() != vmm.WireStopping {
		t.Errorf("rows %+v", rows)
	}
	if puts := ask[[]Put](t, c.http, "GET", c.base+"/sim/puts?since=1", "", 200); len(puts) != 1 || puts[0].Record.VMM.Gen != 4 {
		t.Errorf("PUTs %+v", puts)
	}
	ask[struct{}](t, c.http, "POST", c.base+"/sim/vmms", `{"ids":["`+vmmB.String()+`"]}`, 204)
	wantPut(t, s, vmmA, record(vmm.WireDestroyed, 5), 500)
	ask[struct{}](t, c.http, "POST", c.base+"/sim/migrations", `{"id":"`+migX.String()+`","deleted":true}`, 204)
	rec := record(vmm.WireDestroyed, 5)
	rec.MigrationOut = migrating(migX, vmm.MigrationCompleted, 3)
	wantPut(t, s, vmmB, rec, 410)
}

// While the main port is closed the control port serves the control routes and nothing
// else.
func TestControlWhileRefusing(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	c := listen(t, s)
	addr, err := s.ListenControl("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ask[struct{}](t, c.http, "PUT", "http://"+addr+"/sim/faults", `["refuse"]`, 204)
	ask[[]Row](t, c.http, "GET", "http://"+addr+"/vmms", "", 200)
	ask[struct{}](t, c.http, "PUT", "http://"+addr+"/sim/faults", `[]`, 204)
	ask[[]Row](t, c.http, "GET", c.base+"/vmms", "", 200)
}
