package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// apiVersion is the version that Nexus uses.
const apiVersion = "48.0.0"

// An answer is an answer of the sled API.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// code returns the error_code, or "" if there is none.
func (a answer) code() string {
	var e struct {
		Code string `json:"error_code"`
	}
	_ = json.Unmarshal(a.body, &e) // No error body, no code.
	return e.Code
}

// wants fails the test unless the answer has this status.
func (a answer) wants(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %v, want status %d", a, status)
	}
	return a
}

// record decodes the answer as a record.
func (a answer) record(t testing.TB) (r vmm.Record) {
	t.Helper()
	if err := json.Unmarshal(a.body, &r); err != nil {
		t.Fatalf("answer %v: %v", a, err)
	}
	return r
}

// updated decodes the record in the answer to a change; nil for null.
func (a answer) updated(t testing.TB) *vmm.Record {
	t.Helper()
	var u struct {
		Runtime *vmm.Record `json:"updated_runtime"`
	}
	if err := json.Unmarshal(a.body, &u); err != nil {
		t.Fatalf("answer %v: %v", a, err)
	}
	return u.Runtime
}

// ask sends a request to the sled API as Nexus does. It returns only errors of the connection.
func (h *host) ask(ctx context.Context, method, path string, body []byte) (answer, error) {
	return h.askIn(ctx, apiVersion, method, path, body)
}

// askIn is ask in a version of the API.
func (h *host) askIn(ctx context.Context, version, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, cmp.Or(h.scheme, "http")+"://"+h.addr+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("api-version", version)
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	return h.exchange(req)
}

func (h *host) exchange(req *http.Request) (answer, error) {
	res, err := h.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body}, err
}

// call sends a request that must be answered.
func (h *harness) call(method, path string, body []byte) answer {
	h.t.Helper()
	got, _ := h.try(method, path, body)
	return got
}

// refusedBySlowDisk reports whether a request was refused because a write to the ledger takes
// seconds, as on a loaded machine.
func (a answer) refusedBySlowDisk() bool {
	return a.status == http.StatusServiceUnavailable && bytes.Contains(a.body, []byte("ledger cannot be written"))
}

// try is call, and reports whether the request was repeated: a killed agent may have carried it
// out. It repeats requests if the disk is slow or agents are restarted, until one has loaded its
// ledger.
func (h *harness) try(method, path string, body []byte) (got answer, repeated bool) {
	h.t.Helper()
	limit := waitLimit
	if h.setup.restarts {
		limit = waitLimit / 10 // The connection may be one that a killed agent has not accepted.
	}
	waitFor(h.t, func() string {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		var err error
		got, err = h.ask(ctx, method, path, body)
		switch {
		case err != nil && !h.setup.restarts:
			h.agent().runs(h.t)
			h.t.Fatal(err)
		case err != nil:
			repeated = true
			return err.Error()
		case got.refusedBySlowDisk(), h.setup.restarts && got.status == http.StatusServiceUnavailable:
			return got.String()
		}
		return ""
	})
	return got, repeated
}
