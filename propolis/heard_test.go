package propolis

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A client remembers the newest answers, each once, as plain text, and not those that it did
// not wait for.
func TestHeard(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && n.Load() > 0:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"message":"no. %d\u001b[2J","error_code":null,"request_id":"r"}`, n.Add(1))
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusNoContent)
		default:
			fmt.Fprint(w, `{"gen":3,"state":"Running","migration":{}}`, strings.Repeat(" ", 4<<10))
		}
	}))
	defer server.Close()
	c := NewClient(netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://")), Options{})
	for range 5 {
		if _, err := c.Monitor(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Put(t.Context(), Run, 0); err != nil {
		t.Fatal(err)
	}
	all := c.Heard()
	if len(all) != 2 || all[0].Times != 5 || all[0].Status != 200 || !strings.Contains(all[0].Text, `"state":"Running"`) || all[1].Status != 204 {
		t.Errorf("heard %+v", all)
	}
	n.Store(1)
	for range 2 * maxHeard {
		_ = c.Put(t.Context(), Stop, 0)
	}
	all = c.Heard()
	text := string(Transcript(all))
	if len(all) != maxHeard || strings.Contains(text, "\x1b") || strings.Contains(text, "no. 2") || !strings.Contains(text, "no. 17") ||
		!strings.Contains(text, "PUT /instance/state Stop 500\n") {
		t.Errorf("%d are remembered: %s", len(all), text)
	}
	var h heard
	h.note("GET /x", answer{}, t.Context().Err())
	long := answer{status: 200, body: []byte(strings.Repeat("x", 1<<20))}
	h.note("GET /y", long, nil)
	if len(h.all) != 2 || len(h.all[1].Text) > maxHeardBody || time.Since(h.all[1].At) > time.Hour {
		t.Errorf("remembered %+v", h.all)
	}
}
