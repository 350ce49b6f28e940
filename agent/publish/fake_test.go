package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	nexus1 = "http://[::1]:12221"
	nexus2 = "http://[::1]:12222"
)

// A reply is the fake's answer to one PUT.
type reply struct {
	status int
	hang   bool // never answer
	reset  bool // no answer, at once
	after  time.Duration
	body   string
	deaf   bool // ignore the context
	nexus  bool // with the contract's error body
}

// A call is a PUT that arrived at a fake Nexus.
type call struct {
	base string
	id   uuid.UUID
	gen  uint64
}

// failer is the common part of testing.TB and rapid.T.
type failer interface {
	Errorf(format string, args ...any)
}

// fakeNexus is a transport with a Nexus behind it.
type fakeNexus struct {
	t      failer
	answer func(call) reply // called with mu held

	mu       sync.Mutex
	calls    []call
	acked    []call
	busy     map[string]int // by VMM and by replica
	inFlight int
	most     int // maximum of concurrent PUTs
	mostAt   int // the same at one replica
}

func newFake(t failer, answer func(call) reply) *fakeNexus {
	return &fakeNexus{t: t, answer: answer, busy: map[string]int{}}
}

func always(status int) func(call) reply {
	return func(call) reply { return reply{status: status} }
}

func (f *fakeNexus) RoundTrip(req *http.Request) (*http.Response, error) {
	c := f.parse(req)
	r, err := f.arrive(req.Context(), c)
	if err != nil {
		return nil, err
	}
	defer f.leave(c)
	if err := r.wait(req.Context()); err != nil {
		return nil, err
	}
	if r.reset {
		return nil, errors.New("read: connection reset by peer")
	}
	if r.status == http.StatusNoContent {
		f.mu.Lock()
		f.acked = append(f.acked, c)
		f.mu.Unlock()
	}
	header := http.Header{"Location": {nexus2 + "/elsewhere"}}
	if r.nexus {
		r.body = `{"request_id":"5bb1ae42-6ea5-4d3c-8f0e-6f2f5f3c9d11","message":"Nexus says so"}`
		header.Set("Content-Type", "application/json")
	}
	return &http.Response{
		StatusCode: r.status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: header,
		Body: io.NopCloser(strings.NewReader(r.body)),
	}, nil
}

func (f *fakeNexus) parse(req *http.Request) call {
	if req.Method != http.MethodPut || req.Header.Get("api-version") != "1.0.0" ||
		req.Header.Get("Content-Type") != "application/json" {
		f.t.Errorf("request is %s with headers %v", req.Method, req.Header)
	}
	path, ok := strings.CutPrefix(req.URL.Path, "/vmms/")
	if !ok {
		f.t.Errorf("path is %s", req.URL.Path)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		f.t.Errorf("read body: %v", err)
	}
	var rec vmm.Record
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		f.t.Errorf("decode %q: %v", body, err)
	}
	return call{base: "http://" + req.URL.Host, id: uuid.MustParse(path), gen: rec.VMM.Gen}
}

func (f *fakeNexus) arrive(ctx context.Context, c call) (reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	f.calls = append(f.calls, c)
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.busy[c.base]++
	f.mostAt = max(f.mostAt, f.busy[c.base])
	if f.busy[c.id.String()]++; f.busy[c.id.String()] > 1 {
		f.t.Errorf("%d PUTs of VMM %s at once", f.busy[c.id.String()], c.id)
	}
	return f.answer(c), nil
}

func (f *fakeNexus) leave(c call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	f.busy[c.id.String()]--
	f.busy[c.base]--
}

func (r reply) wait(ctx context.Context) error {
	if r.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.after == 0 {
		return nil
	}
	if r.deaf {
		ctx = context.Background()
	}
	select {
	case <-time.After(r.after):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// received returns the calls that arrived, and those that were acknowledged.
func (f *fakeNexus) received() (calls, acked []call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...), append([]call(nil), f.acked...)
}

func (f *fakeNexus) gens() (gens []uint64) {
	calls, _ := f.received()
	for _, c := range calls {
		gens = append(gens, c.gen)
	}
	return gens
}

func record(gen uint64, state vmm.WireState) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: time.Date(2026, 8, 21, 23, 1, 55, 0, time.UTC)}}
}

func running(gen uint64) vmm.Record   { return record(gen, vmm.WireRunning) }
func destroyed(gen uint64) vmm.Record { return record(gen, vmm.WireDestroyed) }

// logTo returns a logger and a function that returns its lines.
func logTo() (zerolog.Logger, func() []string) {
	var mu sync.Mutex
	var buf bytes.Buffer
	log := zerolog.New(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return buf.Write(b)
	}))
	return log, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return strings.FieldsFunc(buf.String(), func(r rune) bool { return r == '\n' })
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }
