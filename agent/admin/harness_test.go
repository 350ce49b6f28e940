package admin_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// id returns the n-th id; ids sort by n.
func id(n byte) uuid.UUID {
	u := uuid.MustParse("00000000-0000-4000-8000-000000000000")
	u[0] = n
	return u
}

func status(n byte) vmm.Status {
	return vmm.Status{ID: id(n), Hostname: "vm", Phase: vmm.Active.String(),
		Record: vmm.Record{VMM: vmm.Runtime{State: vmm.WireRunning, Gen: 3}}}
}

// served is a Server on a real socket, with a Client.
type served struct {
	*admin.Client
	t      *testing.T
	socket string
	log    *syncBuffer
	stop   func()
}

func serve(t *testing.T, agent admin.Agent, collectors ...prometheus.Collector) *served {
	t.Helper()
	return serveWith(t, agent, admin.Options{Collectors: collectors})
}

// serveSled also serves a sled API.
func serveSled(t *testing.T, sled http.Handler) *served {
	t.Helper()
	return serveWith(t, admintest.New(admin.About{}), admin.Options{Sled: sled})
}

func serveWith(t *testing.T, agent admin.Agent, options admin.Options) *served {
	t.Helper()
	s := &served{t: t, socket: admintest.Socket(t), log: &syncBuffer{}}
	options.Log, options.PropolisVersion = zerolog.New(s.log), "6.0.0"
	s.Client = admin.NewClient(s.socket)
	t.Cleanup(s.Close)
	s.stop = admintest.Serve(t, agent, s.socket, options)
	return s
}

// do makes a raw request, without the Client.
func (s *served) do(method, path string, body io.Reader) (int, string) {
	s.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://agent"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// syncBuffer is a log that can be read while the server writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
