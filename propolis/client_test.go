package propolis

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

var (
	snapshotID  = uuid.MustParse("5c1f0f52-8f0e-4c7b-8a3e-8d7c6b5a4f3e")
	migrationID = uuid.MustParse("c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71")
)

// every holds all calls of the client, by name.
var every = map[string]func(context.Context, *Client) error{
	"ready":    func(ctx context.Context, c *Client) error { return c.Ready(ctx) },
	"instance": func(ctx context.Context, c *Client) error { _, err := c.Instance(ctx); return err },
	"put":      func(ctx context.Context, c *Client) error { return c.Put(ctx, Stop, 0) },
	"ensure":   func(ctx context.Context, c *Client) error { return c.Ensure(ctx, EnsureRequest{Spec: []byte(`{}`)}) },
	"monitor":  func(ctx context.Context, c *Client) error { _, err := c.Monitor(ctx, 7); return err },
	"snapshot": func(ctx context.Context, c *Client) error { return c.Snapshot(ctx, "disk0", snapshotID) },
}

// success is a successful answer for each call.
var success = map[string]string{
	"ready":    reply(424, `{}`),
	"instance": reply(200, `{"instance":{"properties":{"id":"`+instanceID+`"},"state":"Creating"}}`),
	"put":      "HTTP/1.1 204 No Content\r\n\r\n",
	"ensure":   reply(201, `{"migrate":null}`),
	"monitor":  reply(200, `{"gen":7,"state":"Running","migration":{}}`),
	"snapshot": reply(200, `null`),
}

func reply(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

func TestRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	status, answer := 0, ""
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
		io.WriteString(w, answer)
	})
	ctx := t.Context()
	for _, tc := range []struct {
		call           func() error
		status         int
		answer         string
		method, target string
		body           string
	}{
		{func() error { return c.Ready(ctx) }, 424, `{}`, "GET", "/instance", ""},
		{func() error { _, err := c.Instance(ctx); return err }, 200,
			`{"instance":{"properties":{"id":"` + instanceID + `"},"state":"Running"}}`, "GET", "/instance", ""},
		{func() error { return c.Put(ctx, Run, 0) }, 204, "", "PUT", "/instance/state", `"Run"`},
		{func() error { return c.Put(ctx, Stop, 0) }, 204, "", "PUT", "/instance/state", `"Stop"`},
		{func() error { return c.Put(ctx, Reboot, 0) }, 204, "", "PUT", "/instance/state", `"Reboot"`},
		{func() error { _, err := c.Monitor(ctx, 1<<64-1); return err }, 200,
			`{"gen":9,"state":"Running","migration":{}}`, "GET", "/instance/state-monitor", `{"gen":18446744073709551615}`},
		{func() error { return c.Snapshot(ctx, "a/b c%?#:", snapshotID) }, 200, "null\n", "POST",
			"/instance/disk/a%2Fb%20c%25%3F%23:/snapshot/" + snapshotID.String(), ""},
		{func() error { return c.Ensure(ctx, EnsureRequest{Spec: []byte(`{"a": 1}`)}) }, 201, `{"migrate":null}`,
			"PUT", "/instance", ensureBody},
	} {
		status, answer = tc.status, tc.answer
		if err := tc.call(); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.target, err)
		}
		if got.Method != tc.method || got.RequestURI != tc.target || string(body) != tc.body {
			t.Errorf("got %s %s %s, want %s %s %s", got.Method, got.RequestURI, body, tc.method, tc.target, tc.body)
		}
		if v := got.Header.Get("api-version"); v != "6.0.0" {
			t.Errorf("%s %s: api-version %q", tc.method, tc.target, v)
		}
		if ct := got.Header.Get("content-type"); (ct == "application/json") != (tc.body != "") {
			t.Errorf("%s %s: content-type %q", tc.method, tc.target, ct)
		}
		for _, unwanted := range []string{"Idempotency-Key", "Accept-Encoding"} {
			if _, ok := got.Header[unwanted]; ok {
				t.Errorf("%s %s: header %s was sent", tc.method, tc.target, unwanted)
			}
		}
	}
}

// The body of a state request has the form of the configured version, never both.
func TestStateRequestsByVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version string
		action  Action
		soft    time.Duration
		want    string
	}{
		{"5.0.0", Stop, 30 * time.Second, `"Stop"`},
		{"6.9.9", Reboot, 30 * time.Second, `"Reboot"`},
		{"", Stop, 30 * time.Second, `"Stop"`},
		{"7.0.0", Run, 0, `{"state":"Run","acpi_timeout_secs":null}`},
		{"7.0.0", Stop, 0, `{"state":"Stop","acpi_timeout_secs":null}`},
		{"7.0.0", Stop, -time.Second, `{"state":"Stop","acpi_timeout_secs":null}`},
		{"7.1.2-rc.1", Stop, 1, `{"state":"Stop","acpi_timeout_secs":1}`},
		{"7.0.0", Reboot, 30 * time.Second, `{"state":"Reboot","acpi_timeout_secs":30}`},
		{"7.0.0", Stop, 30*time.Second + 1, `{"state":"Stop","acpi_timeout_secs":31}`},
		{"10.0.0", Stop, 1<<63 - 1, `{"state":"Stop","acpi_timeout_secs":9223372037}`},
	} {
		var body []byte
		c := serve(t, Options{APIVersion: tc.version}, func(w http.ResponseWriter, r *http.Request) {
			body, _ = io.ReadAll(r.Body)
			w.WriteHeader(http.StatusNoContent)
		})
		if err := c.Put(t.Context(), tc.action, tc.soft); err != nil || string(body) != tc.want {
			t.Errorf("%s, %s, %s: sent %s, %v; want %s", tc.version, tc.action, tc.soft, body, err, tc.want)
		}
	}
}

const ensureBody = `{"properties":{"id":"00000000-0000-0000-0000-000000000000","name":"","description":"","metadata":` +
	`{"silo_id":"00000000-0000-0000-0000-000000000000","project_id":"00000000-0000-0000-0000-000000000000",` +
	`"sled_id":"00000000-0000-0000-0000-000000000000","sled_serial":"","sled_revision":0,"sled_model":""}},` +
	`"init":{"method":"Spec","value":{"spec":{"a": 1}}}}`

func TestRequestsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	ctx := t.Context()
	for name, err := range map[string]error{
		"action":    c.Put(ctx, "Destroy", 0),
		"no disk":   c.Snapshot(ctx, "", snapshotID),
		"dots":      c.Snapshot(ctx, "..", snapshotID),
		"spec":      c.Ensure(ctx, EnsureRequest{Spec: []byte(`{}{}`)}),
		"no spec":   c.Ensure(ctx, EnsureRequest{}),
		"migration": c.Ensure(ctx, EnsureRequest{Spec: []byte(`{}`), Migration: &MigrationSource{}}),
	} {
		if KindOf(err) != Refused {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func TestEnsureGolden(t *testing.T) {
	t.Parallel()
	spec := read(t, "spec.json")
	r := EnsureRequest{Spec: spec, Properties: Properties{
		ID: uuid.MustParse("4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"), Name: "web<01>", Description: "a VM",
		Metadata: Metadata{SledSerial: "S1", SledRevision: 4294967295, SledModel: "M"}}}
	for golden, m := range map[string]*MigrationSource{
		"ensure_spec.golden.json":      nil,
		"ensure_migration.golden.json": {ID: migrationID, SrcAddr: netip.MustParseAddrPort("[fd00::7]:12400")},
	} {
		r.Migration = m
		got, err := r.encode(DefaultAPIVersion)
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(filepath.Join("testdata", golden), got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(read(t, golden)), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
