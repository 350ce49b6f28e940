package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// apiVersion is the one that Nexus speaks.
const apiVersion = "48.0.0"

// stateAnswer is how long an answer may take at most that needs nobody's help.
// The promise is 100 ms on an idle host, which this one is not.
const stateAnswer = 2 * time.Second

// An answer is one of the sled API's.
type answer struct {
	status int
	header http.Header
	body   []byte
	// took is without what the machine stood still.
	took time.Duration
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// code is the error_code, empty if there is none.
func (a answer) code() string {
	var e struct {
		Code string `json:"error_code"`
	}
	_ = json.Unmarshal(a.body, &e) // No error body, no code.
	return e.Code
}

// updated is the record in an answer to a change; nil for null.
func (a answer) updated(t *testing.T) *vmm.Record {
	t.Helper()
	var u struct {
		Runtime *json.RawMessage `json:"updated_runtime"`
	}
	if err := json.Unmarshal(a.body, &u); err != nil {
		t.Fatalf("answer %v: %v", a, err)
	}
	if u.Runtime == nil {
		return nil
	}
	return record(t, *u.Runtime)
}

func record(t *testing.T, body []byte) *vmm.Record {
	t.Helper()
	var r vmm.Record
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("record %s: %v", body, err)
	}
	return &r
}

// ask sends a request to the sled API as Nexus does. An error is one of the
// connection.
func (a *agent) ask(ctx context.Context, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.addr+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("api-version", apiVersion)
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	return exchange(req)
}

func exchange(req *http.Request) (answer, error) {
	sent := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body, trial.Own(sent, time.Now())}, err
}

// call is ask for a request that must be answered.
func (l *sled) call(method, path string, body []byte) answer {
	l.t.Helper()
	got, err := l.ask(trial.Bounded(l.t, trial.Patience), method, path, body)
	if err != nil {
		l.runs()
		l.t.Fatal(err)
	}
	return got
}

// wants fails the test unless the answer has this status.
func (a answer) wants(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %v, want status %d", a, status)
	}
	return a
}
