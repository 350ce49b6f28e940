package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/golden"
)

type updated struct {
	Updated *vmm.Record `json:"updated_runtime"`
}

func record(state vmm.WireState, gen uint64) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: now}}
}

// TestRequests compares the commands' requests to the sled API and their output.
func TestRequests(t *testing.T) {
	t.Parallel()
	path := "/vmms/" + stopID.String()
	stoppingRecord := new(record(vmm.WireStopping, 10))
	for _, c := range []struct {
		line   string
		answer updated
		method string
		path   string
		body   string
		out    string
	}{
		{"start", updated{}, "PUT", path + "/state", `{"state":{"type":"running"}}`, stopID.String() + " is starting\n"},
		{"reboot", updated{new(record(vmm.WireRebooting, 4))}, "PUT", path + "/state", `{"state":{"type":"reboot"}}`,
			stopID.String() + " is rebooting, generation 4\n"},
		{"stop", updated{stoppingRecord}, "PUT", path + "/state", `{"state":{"type":"stopped"}}`,
			stopID.String() + " is stopping, generation 10\nits zone is removed by force at 22:41:41, in 5m48s\n"},
		{"stop --grace 90s", updated{stoppingRecord}, "PUT", path + "/state?grace=1m30s", `{"state":{"type":"stopped"}}`,
			stopID.String() + " is stopping, generation 10\nits zone is removed by force at 22:41:41, in 5m48s\n"},
		{"stop --grace 0s", updated{stoppingRecord}, "PUT", path + "/state?grace=0s", `{"state":{"type":"stopped"}}`,
			stopID.String() + " is stopping, generation 10\nits zone is removed by force at 22:41:41, in 5m48s\n"},
		{"stop --soft 29.5s", updated{stoppingRecord}, "PUT", path + "/state", `{"state":{"type":"stopped"},"acpi_timeout_secs":30}`,
			stopID.String() + " is stopping, generation 10\nits zone is removed by force at 22:41:41, in 5m48s\n"},
		{"stop --soft 0s --grace 1s", updated{stoppingRecord}, "PUT", path + "/state?grace=1s", `{"state":{"type":"stopped"},"acpi_timeout_secs":0}`,
			stopID.String() + " is stopping, generation 10\nits zone is removed by force at 22:41:41, in 5m48s\n"},
		{"reboot --soft 2m", updated{new(record(vmm.WireRebooting, 4))}, "PUT", path + "/state", `{"state":{"type":"reboot"},"acpi_timeout_secs":120}`,
			stopID.String() + " is rebooting, generation 4\n"},
		{"unregister", updated{new(record(vmm.WireFailed, 5))}, "DELETE", path, "", stopID.String() + " is failed, generation 5\n"},
		{"unregister", updated{}, "DELETE", path, "", stopID.String() + " was not registered\n"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			s := newSled(t, stopping())
			s.api.answers(http.StatusOK, c.answer)
			r := s.must("vmm " + strings.Replace(c.line+" ", " ", " 52c0 ", 1))
			if r.out != c.out {
				t.Errorf("said %q, want %q", r.out, c.out)
			}
			want := []asked{{c.method, c.path, "54.0.0", c.body}}
			if diff := cmp.Diff(want, s.api.requests()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			r = s.must("vmm -o json " + strings.Replace(c.line+" ", " ", " 52c0 ", 1))
			var got *vmm.Record
			if err := json.Unmarshal([]byte(r.out), &got); err != nil || !cmp.Equal(got, c.answer.Updated) {
				t.Errorf("JSON is %s, %v", r.out, err)
			}
		})
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping(), ended())
	r := s.must("vmm kill b771")
	if want := endedID.String() + " (mail) has ended: destroyed, ended, waits for Nexus to acknowledge generation 12\n"; r.out != want {
		t.Errorf("said %q, want %q", r.out, want)
	}
	s.agent.OnKill(func(_ context.Context, s vmm.Status) (vmm.Status, error) {
		s.Phase, s.Removal, s.WaitsFor = "removing", &vmm.RemovalStatus{Rung: "kill"}, "the zone to be halted"
		return s, nil
	})
	r = s.must("vmm kill 52c0")
	want := stopID.String() + " (db-1) is being removed by force: stopping, removing (kill), waits for the zone to be halted\n"
	if r.out != want {
		t.Errorf("said %q, want %q", r.out, want)
	}
	if diff := cmp.Diff([]uuid.UUID{endedID, stopID}, s.agent.Killed()); diff != "" {
		t.Error(diff)
	}
	if len(s.api.requests()) > 0 {
		t.Error("the sled API was asked, which the operator's kill must not need")
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newSled(t)
	s.api.answers(http.StatusOK, record(vmm.WireStarting, 2))
	r := s.must("vmm register --hostname web-9 --cpus 4 --memory 512 --nics 1 --disk /srv/a.raw --propolis-addr [fd00::1]:12400 --instance " + instanceID.String())
	id, err := uuid.Parse(strings.TrimSpace(r.out))
	if err != nil {
		t.Fatalf("printed %q", r.out)
	}
	req := s.api.requests()[0]
	if req.Method != "PUT" || req.Path != "/vmms/"+id.String() {
		t.Errorf("asked %s %s", req.Method, req.Path)
	}
	made, err := wire.Decode([]byte(req.Body))
	if err != nil {
		t.Fatal(err)
	}
	if made.Hostname != "web-9" || made.InstanceID != instanceID || len(made.NICs) != 1 || made.PropolisAddr.String() != "[fd00::1]:12400" {
		t.Errorf("registered %+v", made)
	}
	if want := `"component":{"block_size":512,"path":"/srv/a.raw","readonly":false,"workers":null},"type":"file_storage_backend"`; !strings.Contains(req.Body, want) {
		t.Errorf("there is no disk in %s", req.Body)
	}
}

func TestRegisterFromABody(t *testing.T) {
	t.Parallel()
	s := newSled(t)
	s.api.answers(http.StatusOK, record(vmm.WireStarting, 2))
	const body = `{"instance_id": 7}`
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("vmm register --body " + file)
	r := s.must("vmm register --body - -o json --id "+wellID.String(), stdin(body))
	for i, req := range s.api.requests() {
		if req.Body != body {
			t.Errorf("request %d was made with %q", i, req.Body)
		}
	}
	var answer struct {
		ID     uuid.UUID
		Record vmm.Record
	}
	if err := json.Unmarshal([]byte(r.out), &answer); err != nil || answer.ID != wellID || answer.Record.VMM.Gen != 2 {
		t.Errorf("answered %s, %v", r.out, err)
	}
}

func TestAgentAndManPages(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	r := s.must("agent")
	golden.Check(t, "agent.txt", strings.Replace(r.out, s.api.URL, "http://[::1]:12345", 1))
	dir := filepath.Join(t.TempDir(), "man1")
	s.must("docs man " + dir)
	page, err := os.ReadFile(filepath.Join(dir, "sledctl-vmm-show.1"))
	if err != nil || !strings.Contains(string(page), "timeline of its events") {
		t.Errorf("man page: %v\n%s", err, page)
	}
	if strings.Contains(r.out, "\x1b") {
		t.Error("colours on what is no terminal")
	}
}
