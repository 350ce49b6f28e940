package report

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

var (
	runningID = uuid.MustParse("11111111-1111-4111-8111-111111111111")
	endedID   = uuid.MustParse("22222222-2222-4222-8222-222222222222")
	made      = time.Date(2026, 8, 21, 22, 35, 53, 0, time.UTC)
)

// answers are an agent's, by path. Paths that are absent hang, as those of a dead agent do.
type answers map[string]string

func (a answers) Get(ctx context.Context, path string, _ int64) (int, []byte, error) {
	body, there := a[path]
	if !there {
		<-ctx.Done()
		return 0, nil, fmt.Errorf("ask the agent: %w", ctx.Err())
	}
	return 200, []byte(body), nil
}

// well are the answers of an agent that is well.
func well() answers {
	return answers{
		"/v1/agent": `{"pid":7}`, "/v1/ready": `{}`, "/v1/drain": `{}`, "/v1/log-level": `{}`, "/metrics": "up 1\n",
		"/v1/goroutines": "goroutine profile\n", "/v1/events?follow=false&past=10000": "{}\n{}\n",
		"/v1/config": `{"values":{"state_dir":"/srv/sled"}}`,
		"/v1/vmms":   `[{"id":"` + runningID.String() + `"}]`, "/v1/vmms?ended=true": `[{"id":"` + endedID.String() + `"}]`,
		"/v1/vmms/" + runningID.String(): `{"hostname":"web-1"}`, "/v1/vmms/" + endedID.String(): `{"hostname":"web-0"}`,
	}
}

// files reads an archive.
func files(t *testing.T, r *Report) map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out, "report", made); err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	all, archive := map[string]string{}, tar.NewReader(unzipped)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		text, readErr := io.ReadAll(archive)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(h.Name, "report/")
		if !ok || h.Mode != 0o600 || !h.ModTime.Equal(made) {
			t.Errorf("header %+v", h)
		}
		all[name] = string(text)
	}
}

func TestAgentThatIsWell(t *testing.T) {
	t.Parallel()
	r := &Report{}
	r.AddAgent(t.Context(), well(), uuid.Nil)
	got := files(t, r)
	if len(r.Missing()) != 0 || len(got) != len(well())+1 {
		t.Errorf("missing %+v, files %d", r.Missing(), len(got))
	}
	if got["vmms/"+endedID.String()+".json"] != "{\n  \"hostname\": \"web-0\"\n}" || got["metrics.txt"] != "up 1\n" {
		t.Errorf("files are %q", got)
	}
	if !strings.Contains(got["README.txt"], "metrics.txt") || strings.Contains(got["README.txt"], "Missing") {
		t.Errorf("README is\n%s", got["README.txt"])
	}
	if dir := r.StateDir("/guess"); dir != "/srv/sled" {
		t.Errorf("state directory %s", dir)
	}
	one := &Report{}
	one.AddAgent(t.Context(), well(), endedID)
	if got := files(t, one); got["vmms/"+runningID.String()+".json"] != "" || got["vmms/"+endedID.String()+".json"] == "" {
		t.Errorf("the report of one VMM has %q", got)
	}
}

// What half an agent answers is in the report, what it does not is named, and it ends.
func TestAgentThatIsHalfDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			dead  []string
			limit time.Duration
			has   string
		}{
			"some do not answer": {[]string{"/v1/vmms", "/v1/goroutines"}, 2 * partBudget, "metrics.txt"},
			"three in a row":     {[]string{"/v1/vmms", "/v1/vmms?ended=true", "/v1/drain"}, 3 * partBudget, "agent.json"},
			"none answers":       {nil, 3 * partBudget, "README.txt"},
		} {
			agent := answers{}
			if c.dead != nil {
				agent = well()
			}
			for _, path := range c.dead {
				delete(agent, path)
			}
			begun, r := time.Now(), &Report{}
			r.AddAgent(t.Context(), agent, uuid.Nil)
			if took := time.Since(begun); took > c.limit {
				t.Errorf("%s: took %s", name, took)
			}
			got := files(t, r)
			if got[c.has] == "" || len(r.Missing()) == 0 {
				t.Errorf("%s: missing %+v, files %q", name, r.Missing(), got)
			}
			for _, p := range r.Missing() {
				if !strings.Contains(got["README.txt"], p.Name) {
					t.Errorf("%s: the README does not say that %s is missing", name, p.Name)
				}
			}
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	r := &Report{}
	for i := range 10 {
		r.add(fmt.Sprintf("part-%d", i), "", bytes.Repeat([]byte("x"), maxPart+1), nil)
	}
	if r.total != maxTotal || len(r.Missing()) != 10 {
		t.Errorf("%d bytes, %d cut", r.total, len(r.Missing()))
	}
	agent := well()
	var ids []string
	for i := range maxVMMs + 50 {
		id := uuid.NewSHA1(runningID, []byte{byte(i), byte(i >> 8)}).String()
		ids = append(ids, `{"id":"`+id+`"}`)
		agent["/v1/vmms/"+id] = `{}`
	}
	agent["/v1/vmms"] = "[" + strings.Join(ids, ",") + "]"
	many := &Report{}
	many.AddAgent(t.Context(), agent, uuid.Nil)
	if missing := many.Missing(); len(missing) != 1 || missing[0].Missing != "51 of 251 VMMs are left out" {
		t.Errorf("missing %+v", missing)
	}
}

// Commands that fail or hang, and files that are absent or no files, cost only themselves.
func TestHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := "the beginning\n" + strings.Repeat("x", maxLog) + "\npassword=hunter2 the end\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "sled-agent.log"), []byte(long), 0o600),
		os.Mkdir(filepath.Join(dir, "bundles"), 0o700), os.WriteFile(filepath.Join(dir, "bundles", "b.tar.gz"), []byte("b"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r := &Report{}
	r.AddHost(t.Context(), Host{GOOS: "linux", Run: func(_ context.Context, argv ...string) ([]byte, error) {
		if argv[0] == "uptime" {
			return nil, errors.New("no such command")
		}
		return []byte(strings.Join(argv, " ") + " token: abc"), nil
	}}, dir)
	got := files(t, r)
	if missing := r.Missing(); len(missing) != 1 || missing[0].Name != "host/uptime.txt" || missing[0].Missing != "uptime: no such command" {
		t.Errorf("missing %+v", missing)
	}
	log := got["log/sled-agent.log"]
	if strings.Contains(log, "beginning") || !strings.HasSuffix(log, "password=(not shown) the end\n") {
		t.Errorf("the log ends with %q", log[max(0, len(log)-100):])
	}
	if !strings.Contains(got["bundles.txt"], "1 b.tar.gz") || got["host/system.txt"] != "uname -a token: (not shown)" ||
		!strings.HasPrefix(got["log/journal.txt"], "journalctl --unit=sled-agent.service") {
		t.Errorf("files are %q", got)
	}
	illumos := &Report{}
	illumos.AddHost(t.Context(), Host{GOOS: "illumos", Run: func(_ context.Context, argv ...string) ([]byte, error) {
		if strings.Join(argv, " ") == "svcs -L sled-agent" {
			return []byte(filepath.Join(dir, "sled-agent.log") + "\n"), nil
		}
		return []byte("x"), nil
	}}, filepath.Join(dir, "absent"))
	if got := files(t, illumos); got["log/smf.log"] != log || got["host/zones.txt"] != "x" || got["bundles.txt"] != "none\n" {
		t.Errorf("illumos: missing %+v", illumos.Missing())
	}
}

// The newest collections of evidence are in the report, of one VMM or of all.
func TestEvidence(t *testing.T) {
	t.Parallel()
	state, other := t.TempDir(), uuid.MustParse("00000000-0000-4000-8000-000000000001")
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(state, "evidence", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxEvidence + 1 {
		put(fmt.Sprintf("%s-2026113%02d/processes.txt", runningID, i), "args --password=hunter2\n")
	}
	put(other.String()+"-20260101/files.txt", "other")
	for id, want := range map[uuid.UUID]int{uuid.Nil: maxEvidence, runningID: maxEvidence, other: 1, endedID: 0} {
		r := &Report{}
		r.AddEvidence(t.Context(), state, id)
		got := files(t, r)
		n := 0
		for name, text := range got {
			if strings.HasPrefix(name, "evidence/") {
				n++
				if strings.Contains(text, "hunter2") || strings.HasSuffix(name, "-202611300/processes.txt") {
					t.Errorf("%s: %s is %q", id, name, text)
				}
			}
		}
		if n != want || len(r.Missing()) > 0 || (want > 0) != (got["evidence.txt"] != "") {
			t.Errorf("%s: %d files, want %d; missing %+v", id, n, want, r.Missing())
		}
	}
	none := &Report{}
	none.AddEvidence(t.Context(), t.TempDir(), uuid.Nil)
	if len(none.Parts) != 0 {
		t.Errorf("without evidence there is %+v", none.Parts)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	text, err := run(t.Context(), "sh", "-c", "echo out; echo err >&2")
	if err != nil || string(text) != "out\nerr\n" {
		t.Errorf("%q, %v", text, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, "sleep", "600"); err == nil {
		t.Error("a command was not ended")
	}
	if _, err := run(t.Context(), "no-such-command"); err == nil {
		t.Error("no error for a command that does not exist")
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"password":"hunter2","a":1}`:                                    `{"password":"(not shown)","a":1}`,
		`{"line":"{\"api_key\": \"abc\"}"}`:                               `{"line":"{\"api_key\": \"(not shown)\"}"}`,
		"Authorization: Bearer abc.def":                                   "Authorization: Bearer (not shown)",
		"DB_PASSWORD=x y":                                                 "DB_PASSWORD=(not shown) y",
		"http://me:pw@nexus/x?token=t&a=b":                                "http://(not shown)@nexus/x?token=(not shown)",
		"GET http://[fd00::1]:12221/vmms took=3":                          "GET http://[fd00::1]:12221/vmms took=3",
		"-----BEGIN EC PRIVATE KEY-----\nMHc\ncut off":                    "(not shown)",
		"a -----BEGIN PRIVATE KEY-----\nMHc\n-----END PRIVATE KEY----- b": "a (not shown) b",
		`{"password":"two words,and more"}`:                               `{"password":"(not shown)"}`,
		"propolis-server --token abc123 run":                              "propolis-server --token (not shown) run",
		"the tokens are many":                                             "the tokens are many",
	} {
		if got := string(mask([]byte(text))); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
