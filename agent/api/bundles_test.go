package api_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/bundle"
)

const (
	bundleZone  = "oxz_propolis-server_e8e95a60-2aaf-4453-90e4-e0e58f126762"
	zoneURL     = "/zones/bundles/" + bundleZone
	cleanupURL  = "/zones/bundle-cleanup"
	contextURL  = cleanupURL + "/context"
	usageURL    = cleanupURL + "/utilization"
	contextText = `{"period":{"secs":600,"nanos":0},"storage_limit":25,"priority":["cause","time"]}`
)

// openStore returns a store with a bundle of each of these zones.
func openStore(t *testing.T, dir string, zones ...string) *bundle.Store {
	t.Helper()
	s := bundle.Open(dir, zerolog.Nop())
	for _, zone := range zones {
		s.Add(bundle.Evidence{Zone: zone, Cause: bundle.TerminatedInstance, Log: []byte("it panicked")})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	defer cancel()
	for ctx.Err() == nil {
		if all, err := s.List(); err == nil && len(all) == len(zones) {
			return s
		}
		time.Sleep(time.Millisecond) // sleep: the disk is not in a bubble
	}
	t.Fatal("the bundles were not made")
	return nil
}

// listed returns the bundles of an answer.
func (r reply) listed(t *testing.T) (all []bundle.Metadata) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &all); r.StatusCode != 200 || err != nil || all == nil {
		t.Fatalf("%s: %d %s, %v", r.Request.URL, r.StatusCode, r.body, err)
	}
	return all
}

func TestBundles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, &fakeAgent{}, api.Options{Bundles: openStore(t, dir, bundleZone, "other", bundleZone)})
	for path, want := range map[string]int{"/zones/bundles": 3, "/zones/bundles?filter=": 3, "/zones/bundles?filter=propolis": 2,
		"/zones/bundles?filter=othe": 1, "/zones/bundles?filter=none": 0, "/zones/bundles?filter=%2e%2e%2f": 0,
		zoneURL: 2, "/zones/bundles/other": 1, "/zones/bundles/none": 0} {
		if got := s.do("GET", path, "").listed(t); len(got) != want {
			t.Errorf("GET %s lists %d bundles, want %d", path, len(got), want)
		}
	}
	r := s.do("GET", "/zones/bundles/other", "")
	id := r.listed(t)[0].ID.Bundle.String()
	var fields []map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil || fields[0]["cause"] != "terminated_instance" ||
		fields[0]["version"] != 0.0 || !strings.HasSuffix(fields[0]["time_created"].(string), "Z") {
		t.Errorf("a bundle is listed as %s", r.body)
	}

	r = s.do("GET", "/zones/bundles/other/"+id, "")
	if r.StatusCode != 200 || r.Header.Get("content-type") != "application/gzip" || r.ContentLength != int64(len(r.body)) {
		t.Errorf("the bundle is answered %d %v", r.StatusCode, r.Header)
	}
	zipped, err := gzip.NewReader(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := tar.NewReader(zipped).Next(); err != nil || first.Name != "metadata.toml" {
		t.Errorf("the bundle begins with %+v, %v", first, err)
	}

	for path, want := range map[string]int{
		"/zones/bundles/other/" + uuid.NewString():             404,
		zoneURL + "/" + id:                                     404, // of another zone
		"/zones/bundles/other/x":                               400,
		"/zones/bundles/other/" + id + ".tar.gz":               400,
		"/zones/bundles/%2e%2e/" + id:                          400,
		"/zones/bundles/..%2f..%2fetc/" + id:                   400,
		"/zones/bundles/-x/" + id:                              400,
		"/zones/bundles/other%00/" + id:                        400,
		"/zones/bundles/" + strings.Repeat("x", 64) + "/" + id: 400,
		"/zones/bundles/global/" + id:                          400,
	} {
		for _, method := range []string{"GET", "DELETE"} {
			r := s.do(method, path, "")
			if code, message := r.failed(t); r.StatusCode != want || code != "" || message == "" {
				t.Errorf("%s %s: %d %s, want %d", method, path, r.StatusCode, r.body, want)
			}
		}
	}
	if r := s.do("GET", "/zones/bundles/..%2f..", ""); r.StatusCode != 400 {
		t.Errorf("a zone's name that is a path: %d %s", r.StatusCode, r.body)
	}

	if r := s.do("DELETE", "/zones/bundles/other/"+id, ""); r.StatusCode != 204 || r.body != "" {
		t.Errorf("the deletion is answered %d %q", r.StatusCode, r.body)
	}
	if r := s.do("DELETE", "/zones/bundles/other/"+id, ""); r.StatusCode != 404 {
		t.Errorf("the second deletion is answered %d", r.StatusCode)
	}
	if _, err := os.Stat(filepath.Join(dir, "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the zone's directory is left: %v", err)
	}
	if got := len(s.do("GET", "/zones/bundles", "").listed(t)); got != 2 {
		t.Errorf("%d bundles are left", got)
	}
}

func TestBundleCleanup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, &fakeAgent{}, api.Options{Bundles: openStore(t, dir, bundleZone)})
	if r := s.do("POST", cleanupURL, ""); r.StatusCode != 200 || strings.TrimSpace(r.body) != "{}" {
		t.Errorf("a cleanup within the limit: %d %s", r.StatusCode, r.body)
	}
	var usage map[string]map[string]int64
	r := s.do("GET", usageURL, "")
	if err := json.Unmarshal([]byte(r.body), &usage); err != nil || usage[dir]["dataset_quota"] != 1<<30 ||
		usage[dir]["bytes_available"] != 1<<28 || usage[dir]["bytes_used"] == 0 || len(usage) != 1 {
		t.Errorf("the utilization is %s", r.body)
	}

	shows := func(want string) {
		t.Helper()
		if r := s.do("GET", contextURL, ""); r.StatusCode != 200 || strings.TrimSpace(r.body) != want {
			t.Errorf("the context is %d %s, want %s", r.StatusCode, r.body, want)
		}
	}
	shows(contextText)
	for body, says := range map[string]string{
		``:                                 "want JSON, got the end of the body",
		`null`:                             "want an object",
		`[]`:                               "want an object",
		`{`:                                "want JSON, got the end of the body",
		`{"period":{"secs":30,"nanos":0}}`: "period: 30s is not between",
		`{"period":{"secs":59,"nanos":999999999},"storage_limit":5}`: "period: 59.999999999s is not between",
		`{"period":{"secs":86400,"nanos":1}}`:                        "period: 24h0m0.000000001s",
		`{"period":{"secs":18446744073709551615,"nanos":0}}`:         "period: 2562047h",
		`{"period":{"secs":18446744073709551616,"nanos":0}}`:         "period.secs: want an integer",
		`{"period":{"secs":-1,"nanos":0}}`:                           "period.secs: want an integer",
		`{"period":{"secs":600}}`:                                    "period.nanos: want an integer from 0 to 4294967295, got nothing",
		`{"period":{"nanos":0}}`:                                     "period.secs: want an integer from 0 to 18446744073709551615, got nothing",
		`{"period":"10m"}`:                                           "period: want",
		`{"storage_limit":0}`:                                        "storage_limit: 0 is not between 1 and 50",
		`{"storage_limit":51,"period":{"secs":3600,"nanos":0}}`:      "storage_limit: 51",
		`{"storage_limit":256}`:                                      "storage_limit: want an integer from 0 to 255",
		`{"storage_limit":2.5}`:                                      "storage_limit: want an integer from 0 to 255",
		`{"priority":["time"]}`:                                      "priority: want a list of 2, got a list of 1",
		`{"priority":["time","size"],"storage_limit":5}`:             `priority[1]: want one of ["time" "cause"]`,
		`{"priority":"time"}`:                                        "priority: want",
	} {
		r := s.do("PUT", contextURL, body)
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, says) {
			t.Errorf("PUT %s: %d %s, want 400 %s", body, r.StatusCode, r.body, says)
		}
	}
	shows(contextText)
	for _, c := range [][2]string{
		{`{} and ignored text`, contextText},
		{`{"period":null,"priority":null,"storage_limit":null,"later":1}`, contextText},
		{`{"period":{"secs":3600,"nanos":0},"priority":null,"storage_limit":10}`,
			`{"period":{"secs":3600,"nanos":0},"storage_limit":10,"priority":["cause","time"]}`},
		{`{"period":{"secs":59,"nanos":1000000007},"priority":["time","time"]}`,
			`{"period":{"secs":60,"nanos":7},"storage_limit":10,"priority":["time","time"]}`},
	} {
		if r := s.do("PUT", contextURL, c[0]); r.StatusCode != 204 || r.body != "" {
			t.Errorf("PUT %s: %d %s", c[0], r.StatusCode, r.body)
		}
		shows(c[1])
	}
}

// fakeBundles have every bundle, and do all that they are told.
type fakeBundles struct{ api.Bundles }

func (fakeBundles) List() ([]bundle.Metadata, error) {
	return []bundle.Metadata{{ID: bundle.ID{Zone: bundleZone, Bundle: diskID}, Created: time.Now().UTC(), Cause: bundle.TerminatedInstance}}, nil
}

func (fakeBundles) Read(bundle.ID) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader("x")), 1, nil
}

func (fakeBundles) Delete(context.Context, bundle.ID) error { return nil }
func (fakeBundles) Cleanup(context.Context) (n bundle.Count, err error) {
	return bundle.Count{Bundles: 1, Bytes: 2}, nil
}
func (fakeBundles) Used() (int64, error)       { return 1, nil }
func (fakeBundles) Dir() string                { return "/bundles" }
func (fakeBundles) Update(bundle.Update) error { return nil }
func (fakeBundles) Context() bundle.Context {
	return bundle.Context{Period: time.Hour, Limit: 25, Priority: bundle.Priority{bundle.ByCause, bundle.ByTime}}
}

func zoneadm(context.Context) api.ZoneadmInfo {
	return api.ZoneadmInfo{Success: &api.CommandOutput{Command: "x", Stdio: "x", ExitStatus: "x"}}
}

var bundlePaths = [][3]string{
	{"GET", "/zones/bundles", ""}, {"GET", zoneURL, ""}, {"GET", zoneURL + "/" + diskID.String(), ""},
	{"DELETE", zoneURL + "/" + diskID.String(), ""}, {"POST", cleanupURL, ""}, {"GET", usageURL, ""},
}

// Without storage, and while the disk does not answer, the paths are 503 without a code.
func TestNoBundles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := bundle.Open(file, zerolog.Nop())
	t.Cleanup(func() { _ = broken.Close(context.Background()) })
	for _, store := range []api.Bundles{nil, broken} {
		s := serve(t, &fakeAgent{}, api.Options{Bundles: store})
		for _, call := range bundlePaths {
			r := s.do(call[0], call[1], call[2])
			if code, message := r.failed(t); r.StatusCode != 503 || code != "" || message == "" {
				t.Errorf("%s %s: %d %s", call[0], call[1], r.StatusCode, r.body)
			}
		}
		if store == nil {
			for _, method := range []string{"GET", "PUT"} {
				if r := s.do(method, contextURL, ""); r.StatusCode != 503 {
					t.Errorf("%s %s: %d %s", method, contextURL, r.StatusCode, r.body)
				}
			}
		}
	}
}

// slowStore is a store whose disk hangs while a bundle is read.
type slowStore struct {
	api.Bundles
	hung    chan struct{}
	reading atomic.Int32
}

func (s *slowStore) Read(bundle.ID) (io.ReadCloser, int64, error) {
	s.reading.Add(1)
	<-s.hung
	return nil, 0, bundle.ErrUnknown
}

// A disk that hangs holds a bounded number of requests, and no other kind of them.
func TestBundleReadsAreBounded(t *testing.T) {
	t.Parallel()
	slow := &slowStore{hung: make(chan struct{})}
	s := serve(t, &fakeAgent{}, api.Options{Bundles: slow})
	path := zoneURL + "/" + diskID.String()
	answers := make(chan int)
	for range 8 {
		go func() { answers <- s.do("GET", path, "").StatusCode }()
	}
	for slow.reading.Load() < 8 {
		time.Sleep(time.Millisecond) // sleep: requests are on real sockets
	}
	if r := s.do("GET", path, ""); r.StatusCode != 503 {
		t.Errorf("one read more: %d %s", r.StatusCode, r.body)
	}
	if r := s.do("PUT", stateURL, stateBody("stopped")); r.StatusCode != 200 {
		t.Errorf("a stop: %d %s", r.StatusCode, r.body)
	}
	close(slow.hung)
	for range 8 {
		if status := <-answers; status != 404 {
			t.Errorf("a read was answered %d", status)
		}
	}
}

func TestZoneadmInfo(t *testing.T) {
	t.Parallel()
	const path = "/support/zoneadm-info"
	if r := serve(t, &fakeAgent{}, api.Options{}).do("GET", path, ""); r.StatusCode != 200 ||
		strings.TrimSpace(r.body) != `{"failure":{"error":"there is no zoneadm"}}` {
		t.Errorf("without zoneadm: %d %s", r.StatusCode, r.body)
	}
	code, asked, hung := 0, make(chan struct{}), make(chan struct{})
	s := serve(t, &fakeAgent{}, api.Options{Zoneadm: func(ctx context.Context) api.ZoneadmInfo {
		if by, ok := ctx.Deadline(); !ok || time.Until(by) > 10*time.Second {
			t.Errorf("the deadline is %s, %v", by, ok)
		}
		close(asked)
		<-hung
		return api.ZoneadmInfo{Success: &api.CommandOutput{Command: "zoneadm list -cip", Stdio: "0:global\n",
			ExitStatus: "exit status: 0", ExitCode: &code}}
	}})
	answer := make(chan reply)
	go func() { answer <- s.do("GET", path, "") }()
	<-asked
	if r := s.do("GET", path, ""); r.StatusCode != 200 || !strings.HasPrefix(r.body, `{"failure":{"error":`) {
		t.Errorf("while another is under way: %d %s", r.StatusCode, r.body)
	}
	close(hung)
	if r := <-answer; r.StatusCode != http.StatusOK || strings.TrimSpace(r.body) !=
		`{"success":{"command":"zoneadm list -cip","stdio":"0:global\n","exit_status":"exit status: 0","exit_code":0}}` {
		t.Errorf("got %d %s", r.StatusCode, r.body)
	}
}
