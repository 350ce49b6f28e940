package nexussim

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout only ends a test that would hang.
const timeout = 20 * time.Second

var (
	vmmA = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	vmmB = uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002")
	migX = uuid.MustParse("cccccccc-0000-4000-8000-000000000003")
	t0   = time.Date(2026, 8, 21, 22, 14, 31, 0, time.UTC)
)

func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	s := New(o)
	t.Cleanup(s.Close)
	return s
}

func record(state vmm.WireState, gen uint64) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: t0.Add(time.Duration(gen) * time.Second)}}
}

func migrating(id uuid.UUID, state vmm.MigrationState, gen uint64) *vmm.Migration {
	return &vmm.Migration{ID: id, State: state, Gen: gen, Updated: t0}
}

func body(t *testing.T, rec vmm.Record) string {
	t.Helper()
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// put sends a well-formed update to the handler.
func put(t *testing.T, s *Server, id uuid.UUID, rec vmm.Record) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPut, "/vmms/"+id.String(), strings.NewReader(body(t, rec)))
	r.Header.Set("api-version", APIVersion)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func wantPut(t *testing.T, s *Server, id uuid.UUID, rec vmm.Record, status int) {
	t.Helper()
	if w := put(t, s, id, rec); w.Code != status {
		t.Fatalf("PUT of %s (gen %d): status %d, want %d: %s", rec.VMM.State, rec.VMM.Gen, w.Code, status, w.Body)
	}
}

func setFault(t *testing.T, s *Server, specs ...string) {
	t.Helper()
	if err := s.SetFault(specs...); err != nil {
		t.Fatal(err)
	}
}

// A client calls a server through a real socket.
type client struct {
	t    *testing.T
	http *http.Client
	base string
}

func listen(t *testing.T, s *Server) *client {
	t.Helper()
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, http: &http.Client{Transport: transport}, base: "http://" + addr}
}

// put returns the whole answer or the client's error.
func (c *client) put(ctx context.Context, id uuid.UUID, rec vmm.Record) (status int, answer string, err error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/vmms/"+id.String(), strings.NewReader(body(c.t, rec)))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("api-version", APIVersion)
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
