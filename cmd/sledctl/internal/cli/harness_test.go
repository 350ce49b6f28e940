package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sled is a simulated agent: its admin socket and its sled API.
type sled struct {
	t      *testing.T
	agent  *admintest.Agent
	socket string
	api    *sledAPI
}

func newSled(t *testing.T, vmms ...vmm.Status) *sled {
	t.Helper()
	s := &sled{t: t, agent: admintest.New(theAgent(), vmms...), socket: admintest.Socket(t)}
	s.api = newSledAPI(t)
	about := theAgent()
	about.API = s.api.URL
	s.agent.SetAbout(about)
	admintest.Serve(t, s.agent, s.socket, admin.Options{PropolisVersion: "6.0.0", Sled: s.api.Config.Handler})
	return s
}

func serveAdmin(t *testing.T, agent admin.Agent, socket string) (stop func()) {
	t.Helper()
	return admintest.Serve(t, agent, socket, admin.Options{})
}

// result is the output and the exit code of a command.
type result struct {
	code     int
	out, err string
}

type option func(*Env)

func onTerminal(e *Env) {
	e.IsTerminal, e.Width = true, 110
	e.Getenv = func(name string) string { return map[string]string{"TERM": "xterm", "LANG": "en_US.UTF-8"}[name] }
}

func columns80(e *Env) {
	onTerminal(e)
	e.Width = 80
	e.Getenv = func(name string) string { return map[string]string{"NO_COLOR": "1", "LANG": "en_US.UTF-8"}[name] }
}

func columns80x24(e *Env) {
	columns80(e)
	e.Height = 24
}

func testEnv(out, err io.Writer, options ...option) Env {
	env := Env{In: strings.NewReader(""), Out: out, Err: err, Now: func() time.Time { return now },
		Getenv: func(string) string { return "" }, Poll: time.Millisecond, Redraw: time.Millisecond}
	for _, o := range options {
		o(&env)
	}
	return env
}

func run(ctx context.Context, args []string, options ...option) result {
	var out, err bytes.Buffer
	code := Run(ctx, args, testEnv(&out, &err, options...))
	return result{code, out.String(), err.String()}
}

// run runs a command against the sled.
func (s *sled) run(line string, options ...option) result {
	s.t.Helper()
	args := append([]string{"--socket", s.socket}, strings.Fields(line)...)
	return run(s.t.Context(), args, options...)
}

// must is run for a command that has to succeed.
func (s *sled) must(line string, options ...option) result {
	s.t.Helper()
	r := s.run(line, options...)
	if r.code != exitDone {
		s.t.Fatalf("sledctl %s: exit %d\n%s", line, r.code, r.err)
	}
	return r
}

// sledAPI is a sled API that returns configured answers and records requests.
type sledAPI struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []asked
	status int
	answer string
}

type asked struct {
	Method, Path, Version string
	Body                  string
}

func newSledAPI(t *testing.T) *sledAPI {
	a := startSledAPI()
	t.Cleanup(a.Close)
	return a
}

func startSledAPI() *sledAPI {
	a := &sledAPI{status: http.StatusOK, answer: `{"updated_runtime":null}`}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	return a
}

func (a *sledAPI) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, asked{r.Method, r.URL.RequestURI(), r.Header.Get("api-version"), string(body)})
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.answer)
}

func (a *sledAPI) answers(status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.answer = status, string(text)
}

func (a *sledAPI) requests() []asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}
