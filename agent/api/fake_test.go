package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	propolisID = uuid.MustParse("e8e95a60-2aaf-4453-90e4-e0e58f126762")
	diskID     = uuid.MustParse("0d9c8b7a-6f5e-4d3c-8b2a-190817263544")
	stateURL   = "/vmms/" + propolisID.String() + "/state"
	vmmURL     = "/vmms/" + propolisID.String()
	snapURL    = vmmURL + "/disks/" + diskID.String() + "/snapshot"
)

const snapshotBody = `{"snapshot_id":"8d1f3e5a-0b2c-4d6e-9f81-a3b5c7d9e0f2"}`

func stateBody(target string) string { return `{"state":{"type":"` + target + `"}}` }

// record is the fake's answer; its times are deliberately not UTC.
func record() vmm.Record {
	at := time.Date(2026, 8, 21, 22, 31, 40, 112000, time.FixedZone("", 2*60*60))
	return vmm.Record{
		VMM:         vmm.Runtime{State: vmm.WireStopping, Gen: 6, Updated: at},
		MigrationIn: &vmm.Migration{ID: diskID, State: vmm.MigrationPending, Gen: 1, Updated: at},
	}
}

// A fakeAgent records its calls and answers with err, or else with a record.
type fakeAgent struct {
	err error
	// unknown makes Unregister report that there is no such VMM.
	unknown bool
	sled    api.Sled
	// during runs inside every call that has a context.
	during func(context.Context)

	mu    sync.Mutex
	calls []string
}

func (f *fakeAgent) note(ctx context.Context, call string) error {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.mu.Unlock()
	if f.during != nil {
		f.during(ctx)
	}
	return f.err
}

func (f *fakeAgent) called() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, " ")
}

func (f *fakeAgent) Register(ctx context.Context, id uuid.UUID, r *vmm.Registration) (vmm.Record, error) {
	return record(), f.note(ctx, "register:"+id.String()+":"+r.Hostname)
}

func (f *fakeAgent) Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error) {
	err := f.note(ctx, "unregister:"+id.String())
	if f.unknown || err != nil {
		return nil, err
	}
	rec := record()
	return &rec, nil
}

func (f *fakeAgent) Run(ctx context.Context, id uuid.UUID) error {
	return f.note(ctx, "run:"+id.String())
}

func (f *fakeAgent) MigrateIn(ctx context.Context, id uuid.UUID, src netip.AddrPort) error {
	return f.note(ctx, "migrate:"+id.String()+":"+src.String())
}

func (f *fakeAgent) Stop(ctx context.Context, id uuid.UUID, grace *time.Duration, soft time.Duration) (vmm.Record, error) {
	call := "stop:" + id.String()
	if grace != nil {
		call += ":" + grace.String()
	}
	if soft != 0 {
		call += ":soft " + soft.String()
	}
	return record(), f.note(ctx, call)
}

func (f *fakeAgent) Reboot(ctx context.Context, id uuid.UUID, soft time.Duration) (vmm.Record, error) {
	call := "reboot:" + id.String()
	if soft != 0 {
		call += ":soft " + soft.String()
	}
	return record(), f.note(ctx, call)
}

func (f *fakeAgent) State(id uuid.UUID) (vmm.Record, error) { return record(), f.err }

func (f *fakeAgent) Snapshot(ctx context.Context, id uuid.UUID, disk string, snapshot uuid.UUID) error {
	return f.note(ctx, "snapshot:"+id.String()+":"+disk+":"+snapshot.String())
}

func (f *fakeAgent) SetNetwork(ctx context.Context, id uuid.UUID, change vmm.NetworkChange) error {
	return f.note(ctx, fmt.Sprintf("%T:%v:%v", change, id, change))
}

func (f *fakeAgent) Zones(ctx context.Context) ([]string, error) {
	return []string{"oxz_b", "oxz_a"}, f.note(ctx, "zones")
}

func (f *fakeAgent) Identifiers() api.Identifiers {
	return api.Identifiers{RackID: diskID, SledID: propolisID, Model: "913-0000019", Revision: 13, Serial: "BRM42220031"}
}

func (f *fakeAgent) Sled(context.Context) api.Sled { return f.sled }

func (f *fakeAgent) Configure(ctx context.Context, c disposition.Config) error {
	return f.note(ctx, fmt.Sprintf("configure:%d:%s", c.Generation, c.Disposition))
}

// A site is a server on a real socket.
type site struct {
	t      *testing.T
	scheme string
	addr   string
	server *api.Server
	client *http.Client
}

func serve(t *testing.T, a api.Agent, o api.Options) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, scheme: "http://", addr: l.Addr().String(), server: api.New(a, o), client: &http.Client{Transport: &http.Transport{}}}
	if o.TLS != nil {
		s.scheme = "https://"
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return s
}

// A reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// do sends a request as Nexus does. The given headers replace Nexus's; an empty one is
// not sent.
func (s *site) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequest(method, s.scheme+s.addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("api-version", "48.0.0")
	if body != "" {
		req.Header.Set("content-type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return s.send(req)
}

func (s *site) send(req *http.Request) reply {
	s.t.Helper()
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL, err)
	}
	return reply{res, string(b)}
}

// wireError is an Error on the wire.
type wireError struct {
	RequestID string  `json:"request_id"`
	Code      *string `json:"error_code"`
	Message   string  `json:"message"`
}

// failed verifies that a reply is a complete error and returns its code and message.
func (r reply) failed(t *testing.T) (code, message string) {
	t.Helper()
	var e wireError
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("%s %s: %d with a body that is not an error: %q", r.Request.Method, r.Request.URL, r.StatusCode, r.body)
	}
	if id, err := uuid.Parse(e.RequestID); err != nil || id.Version() != 4 || e.RequestID != r.Header.Get("x-request-id") {
		t.Errorf("request_id = %q, x-request-id = %q; want one UUIDv4", e.RequestID, r.Header.Get("x-request-id"))
	}
	if r.Header.Get("content-type") != "application/json" {
		t.Errorf("content-type = %q", r.Header.Get("content-type"))
	}
	if !strings.HasPrefix(r.body, "{\n  \"request_id\": ") {
		t.Errorf("the error is not pretty-printed: %s", r.body)
	}
	if e.Code != nil {
		code = *e.Code
		if code == "" {
			t.Error("error_code is present but empty")
		}
	}
	return code, e.Message
}
