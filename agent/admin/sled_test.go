package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns/connstest"
)

// me is the operator who runs this test, as the agent names its user.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	return "operator " + u.Username
}

func TestCallersHaveNames(t *testing.T) {
	t.Parallel()
	agent, by := admintest.New(admin.About{}, status(1)), vmm.Who("")
	agent.OnKill(func(ctx context.Context, s vmm.Status) (vmm.Status, error) {
		by = caller.Of(ctx, "")
		return s, nil
	})
	s := serve(t, agent)
	if _, err := s.Kill(t.Context(), id(1)); err != nil || string(by) != me(t) {
		t.Errorf("killed by %q, %v", by, err)
	}
	if log := s.log.String(); !strings.Contains(log, `"by":"`+me(t)) {
		t.Errorf("the log does not say who killed:\n%s", log)
	}
}

// The sled API is served with its own paths, methods and bodies.
func TestSledAPIOnTheSocket(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 100<<10) // more than the admin API itself takes
	s := serveSled(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if by := caller.Of(r.Context(), ""); err != nil || string(got) != body || r.URL.RequestURI() != "/vmms/x?grace=1s" || string(by) != me(t) {
			t.Errorf("%s %s by %q with %d bytes, %v", r.Method, r.URL.RequestURI(), by, len(got), err)
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
		if status, _ := s.do(method, "/v1/sled/vmms/x?grace=1s", strings.NewReader(body)); status != http.StatusTeapot {
			t.Errorf("%s: %d", method, status)
		}
	}
	_, transport := admin.NewClient(s.socket + ".absent").Sled()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://agent/v1/sled/", nil)
	_, err := (&http.Client{Transport: transport}).Do(req)
	if _, ok := errors.AsType[*admin.NoAgentError](err); !ok {
		t.Errorf("without an agent: %v", err)
	}
}

// A body that never comes holds up its own request alone, and not for long.
func TestSledAPIWithAStalledBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failed error
		server, l := admin.New(admintest.New(admin.About{}), admin.Options{Log: zerolog.Nop(),
			Sled: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, failed = io.ReadAll(r.Body) })}), connstest.New()
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		c := l.Connect(t)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		if _, err := io.WriteString(c, "PUT /v1/sled/vmms/x HTTP/1.1\r\nHost: agent\r\nContent-Length: 9\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // sleep: the time of a bubble
		synctest.Wait()
		if !errors.Is(failed, os.ErrDeadlineExceeded) {
			t.Errorf("the body was read with %v", failed)
		}
		if err := errors.Join(c.Close(), server.Shutdown(t.Context()), <-done); err != nil {
			t.Error(err)
		}
	})
}
