package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
)

func TestReport(t *testing.T) {
	t.Parallel()
	socket := admintest.Socket(t)
	admintest.Serve(t, admintest.New(theAgent(), well()), socket, admin.Options{Process: &process{}})
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	sledctl := func(args ...string) result { return run(t.Context(), append([]string{"--socket", socket}, args...)) }
	r := sledctl("report", "3f2a", "--file", file, "-o", "json")
	var got written
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitDone || got.File != file {
		t.Fatalf("exit %d, %v: %s %s", r.code, err, r.out, r.err)
	}
	missing := map[string]string{}
	for _, p := range got.Parts {
		missing[p.Name] = p.Missing
	}
	for _, name := range []string{"agent.json", "config.json", "metrics.txt", "goroutines.txt", "vmms/" + wellID.String() + ".json"} {
		if why, there := missing[name]; !there || why != "" {
			t.Errorf("%s: there %t, missing %q", name, there, why)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("file %+v, %v", info, err)
	}
	if r := sledctl("report", "--file", file); r.code != exitOther || !strings.Contains(r.err, "exists") {
		t.Errorf("to a file that exists: exit %d, %s", r.code, r.err)
	}
	if r := sledctl("report", "--file", "-"); r.code != exitDone || !strings.HasPrefix(r.out, "\x1f\x8b") {
		t.Errorf("to standard output: exit %d, %s", r.code, r.err)
	}
	if r := sledctl("report", "nope", "--file", file+"2"); r.code != exitNotFound {
		t.Errorf("of no VMM: exit %d, %s", r.code, r.err)
	}
}

// Without an agent there is a report, which says so.
func TestReportWithoutAgent(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	r := run(t.Context(), []string{"--socket", admintest.Socket(t), "report", "web-1", "--file", file})
	if r.code != exitDone || !strings.Contains(r.out, "agent.json: no agent listens on") || !strings.Contains(r.out, "vmms/web-1: find VMM web-1: no agent listens on") {
		t.Errorf("exit %d, %s %s", r.code, r.out, r.err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
