package sim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitLimit bounds waits that end at once unless something is broken.
const waitLimit = 20 * time.Second

const (
	diskID      = "f0a7c6d5-1b2c-4d3e-8f90-a1b2c3d4e5f6"
	migrationID = "c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71"

	propertiesJSON = `{"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e","name":"web01","description":"a VM","metadata":{` +
		`"silo_id":"001de000-5110-4000-8000-000000000000","project_id":"1f2f0f7c-9d2e-4c55-a3d6-6f3c7a1b9b11",` +
		`"sled_id":"b886b58a-1e3f-4be1-b9f2-0c2e66c6bc88","sled_serial":"S1","sled_revision":13,"sled_model":"M"}}`
	boardJSON = `{"chipset":{"type":"i440_fx","value":{"enable_pcie":false}},"cpus":2,"memory_mb":1024}`
	crucible  = `{"type":"crucible_storage_backend","component":{"readonly":false,"request_json":"{}"}}`
	nvme      = `{"type":"nvme_disk","component":{"backend_id":"` + diskID + `","has_write_cache":true,` +
		`"pci_path":{"bus":0,"device":16,"function":0},"serial_number":[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]}}`
	com1 = `{"type":"serial_port","component":{"num":"com1"}}`
)

// specWith returns the body of a PUT /instance with these components.
func specWith(components string) string {
	return `{"properties":` + propertiesJSON + `,"init":{"method":"Spec","value":{"spec":{"board":` + boardJSON +
		`,"components":{` + components + `}}}}}`
}

var coldStart = specWith(`"` + diskID + `":` + crucible + `,"disk":` + nvme + `,"com1":` + com1)

var migrationTarget = `{"properties":` + propertiesJSON + `,"init":{"method":"MigrationTarget","value":{"migration_id":"` +
	migrationID + `","src_addr":"[fd00::7]:12400","replace_components":{"` + diskID +
	`":{"component":"CrucibleStorageBackend","spec":{"readonly":false,"request_json":"{}"}}}}}}`

// A client is connected to one simulator.
type client struct {
	t    testing.TB
	sim  *sim.Server
	base string
	do   func(*http.Request) (*http.Response, error)
}

// A reply is a completely read response.
type reply struct {
	status int
	header http.Header
	body   string
}

// errorBody is the API's error.
type errorBody struct {
	RequestID uuid.UUID `json:"request_id"`
	Message   string
	Code      *string `json:"error_code"`
}

func (r reply) err(t testing.TB) errorBody {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("error body %q: %v", r.body, err)
	}
	return e
}

// code returns the status and, after a space, the error_code if there is one.
func (r reply) code(t testing.TB) string {
	t.Helper()
	text := http.StatusText(r.status)
	if r.status >= 400 {
		if c := r.err(t).Code; c != nil {
			text += " " + *c
		}
	}
	return text
}

// overSocket serves a simulator on a real socket.
func overSocket(t *testing.T, o sim.Options) *client {
	t.Helper()
	s := sim.New(o)
	listener := httptest.NewServer(s.Handler())
	transport := &http.Transport{}
	t.Cleanup(func() {
		s.Close()
		transport.CloseIdleConnections()
		listener.CloseClientConnections()
		listener.Close()
	})
	h := &http.Client{Transport: transport, Timeout: waitLimit}
	return &client{t: t, sim: s, base: listener.URL, do: h.Do}
}

// inProcess calls a simulator's handler without a network, for use in synctest bubbles.
func inProcess(t *testing.T, o sim.Options) *client {
	t.Helper()
	s := sim.New(o)
	t.Cleanup(s.Close)
	do := func(r *http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		return rec.Result(), nil
	}
	return &client{t: t, sim: s, base: "http://sim", do: do}
}

func (c *client) request(method, path, body string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("api-version", "6.0.0")
	r.Header.Set("content-type", "application/json")
	return r
}

// try sends a request that may get no valid answer.
func (c *client) try(r *http.Request) (reply, error) {
	res, err := c.do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(body)}, err
}

// call sends a request, reads its answer and checks it against the contract.
func (c *client) call(method, path, body string) reply {
	c.t.Helper()
	r := c.request(method, path, body)
	got, err := c.try(r)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
		return reply{}
	}
	if _, err := uuid.Parse(got.header.Get("X-Request-Id")); err != nil {
		c.t.Errorf("%s %s: x-request-id: %v", method, path, err)
	}
	conforms(c.t, r, got)
	return got
}

func (c *client) ensure() reply { c.t.Helper(); return c.call("PUT", "/instance", coldStart) }
func (c *client) put(state string) reply {
	c.t.Helper()
	return c.call("PUT", "/instance/state", `"`+state+`"`)
}

func (c *client) monitorReply(gen uint64) reply {
	c.t.Helper()
	body, _ := json.Marshal(map[string]uint64{"gen": gen})
	return c.call("GET", "/instance/state-monitor", string(body))
}

func (c *client) monitor(gen uint64) server.View {
	c.t.Helper()
	var v server.View
	r := c.monitorReply(gen)
	d := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || r.status != http.StatusOK {
		c.t.Errorf("monitor %d: %d %q: %v", gen, r.status, r.body, err)
	}
	return v
}

// await follows the monitor until it shows a state.
func (c *client) await(state server.State) server.View {
	c.t.Helper()
	for gen := uint64(0); ; {
		v := c.monitor(gen)
		if v.State == state || c.t.Failed() {
			return v
		}
		gen = v.Gen + 1
	}
}

// begin makes a VM and starts it; running also waits until its guest runs.
func (c *client) begin() {
	c.t.Helper()
	c.want(c.ensure(), "Created")
	c.want(c.put("Run"), "No Content")
}

func (c *client) running() {
	c.t.Helper()
	c.begin()
	c.await(server.Running)
}

func (c *client) want(r reply, code string) {
	c.t.Helper()
	if got := r.code(c.t); got != code {
		c.t.Errorf("got %q, want %q", got, code)
	}
}

func (c *client) faults(modes ...string) {
	c.t.Helper()
	c.sim.SetFaults(faults(c.t, modes...))
}

func faults(t testing.TB, modes ...string) sim.Faults {
	t.Helper()
	f, err := sim.ParseFaults(modes...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// deeds is a Process that records what was done to it.
type deeds struct {
	mu   sync.Mutex
	done []string
	told chan string
}

func newDeeds() *deeds { return &deeds{told: make(chan string, 16)} }

func (d *deeds) did(what string) {
	d.mu.Lock()
	d.done = append(d.done, what)
	d.mu.Unlock()
	d.told <- what
}

func (d *deeds) Crash()  { d.did("crash") }
func (d *deeds) Exit()   { d.did("exit") }
func (d *deeds) Freeze() { d.did("freeze") }
func (d *deeds) Escape(lifetime time.Duration) error {
	d.did("escape " + lifetime.String())
	return nil
}

func (d *deeds) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.done...)
}

// next waits for the next record.
func (d *deeds) next(t testing.TB) string {
	t.Helper()
	select {
	case what := <-d.told:
		return what
	case <-time.After(waitLimit):
		t.Fatal("nothing was done to the process")
		return ""
	}
}

func decode[T any](t testing.TB, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("decode %q: %v", body, err)
	}
	return v
}
