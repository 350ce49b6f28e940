package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A request of sledctl is an operator's, one of any other program Nexus's.
func TestWhoAsks(t *testing.T) {
	t.Parallel()
	book, by := &logBook{}, vmm.Who("")
	f := &fakeAgent{during: func(ctx context.Context) { by = caller.Of(ctx, vmm.ByNexus) }}
	server := api.New(f, api.Options{Log: zerolog.New(book)})
	for _, c := range []struct {
		agent string
		known vmm.Who
		want  vmm.Who
	}{{"reqwest/0.12", "", vmm.ByNexus}, {"sledctl", "", vmm.ByOperator}, {"sledctl", vmm.Operator("alice"), vmm.Operator("alice")}} {
		r := httptest.NewRequestWithContext(t.Context(), "PUT", stateURL, strings.NewReader(stateBody("stopped")))
		r.Header.Set("api-version", "54.0.0")
		r.Header.Set("user-agent", c.agent)
		if c.known != "" {
			r = r.WithContext(caller.With(r.Context(), c.known))
		}
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK || by != c.want {
			t.Errorf("%s: %d, stopped by %q, want %q: %s", c.agent, w.Code, by, c.want, w.Body)
		}
	}
	if book.find("by", "operator alice") == nil {
		t.Errorf("the log does not name the operator: %v", book.lines)
	}
}

// To call oneself sledctl permits nothing; the admin socket needs no role.
func TestOperatorsAndRoles(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, api.Options{})
	resp := s.as(s.client("watch")).do("PUT", stateURL, stateBody("stopped"), "api-version", "54.0.0", "user-agent", "sledctl")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a reader that calls itself sledctl: %s", resp.Status)
	}
	r := httptest.NewRequestWithContext(caller.With(t.Context(), vmm.Operator("alice")), "PUT", stateURL, strings.NewReader(stateBody("stopped")))
	r.Header.Set("api-version", "54.0.0")
	w := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("an operator on the admin socket: %d %s", w.Code, w.Body)
	}
}
