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
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	nexus1 = "http://[::1]:12221"
	nexus2 = "http://[::1]:12222"
)

// A reply is how a fake Nexus answers one PUT.
type reply struct {
	status int
	hang   bool // never answer
	reset  bool // no answer, at once
	after  time.Duration
	body   string
}

// A call is a PUT that arrived at a fake Nexus.
type call struct {
	base  string
	id    uuid.UUID
	gen   uint64
	state vmm.WireState
	at    time.Time
}

// failer is what testing and rapid have in common.
type failer interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// fakeNexus is a transport with a Nexus behind it.
type fakeNexus struct {
	t      failer
	answer func(call) reply // called under mu

	mu       sync.Mutex
	calls    []call
	acked    []call
	busy     map[uuid.UUID]int
	inFlight int
	most     int // PUTs under way at once
	dropped  map[uuid.UUID]bool
}

func newFake(t failer, answer func(call) reply) *fakeNexus {
	return &fakeNexus{t: t, answer: answer, busy: map[uuid.UUID]int{}, dropped: map[uuid.UUID]bool{}}
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
	return &http.Response{
		StatusCode: r.status, ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Location": {nexus2 + "/elsewhere"}},
		Body:   io.NopCloser(strings.NewReader(r.body)),
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
	return call{base: "http://" + req.URL.Host, id: uuid.MustParse(path), gen: rec.VMM.Gen, state: rec.VMM.State}
}

func (f *fakeNexus) arrive(ctx context.Context, c call) (reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	if f.dropped[c.id] {
		f.t.Errorf("PUT of generation %d of VMM %s, which was dropped", c.gen, c.id)
	}
	c.at = time.Now()
	f.calls = append(f.calls, c)
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.busy[c.id]++
	if f.busy[c.id] > 1 {
		f.t.Errorf("%d PUTs of VMM %s at once", f.busy[c.id], c.id)
	}
	return f.answer(c), nil
}

func (f *fakeNexus) leave(c call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	f.busy[c.id]--
}

func (r reply) wait(ctx context.Context) error {
	if r.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.after == 0 {
		return nil
	}
	select {
	case <-time.After(r.after):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// told returns what arrived, and which of it was acknowledged.
func (f *fakeNexus) told() (calls, acked []call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...), append([]call(nil), f.acked...)
}

func (f *fakeNexus) gens() (gens []uint64) {
	calls, _ := f.told()
	for _, c := range calls {
		gens = append(gens, c.gen)
	}
	return gens
}

// results collects what notify was told.
type results struct {
	mu  sync.Mutex
	all []Result
}

func (r *results) notify(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, res)
}

func (r *results) list() []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Result(nil), r.all...)
}

// one returns the only result.
func (r *results) one(t testing.TB) Result {
	t.Helper()
	all := r.list()
	if len(all) != 1 {
		t.Fatalf("notified %d times: %+v", len(all), all)
	}
	return all[0]
}

func record(gen uint64, state vmm.WireState) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: time.Date(2026, 8, 21, 23, 1, 55, 0, time.UTC)}}
}

func running(gen uint64) vmm.Record   { return record(gen, vmm.WireRunning) }
func destroyed(gen uint64) vmm.Record { return record(gen, vmm.WireDestroyed) }

// start runs a publisher before f until the test ends.
func start(t testing.TB, f *fakeNexus, change func(*Config)) *Publisher {
	cfg := Config{Addresses: []string{nexus1}, Transport: f}
	if change != nil {
		change(&cfg)
	}
	p := New(cfg)
	t.Cleanup(func() { closeNow(t, p) })
	return p
}

func closeNow(t failer, p *Publisher) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// logTo returns a logger and what it wrote, line by line.
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
