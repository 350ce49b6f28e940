package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

type updated struct {
	Updated *vmm.Record `json:"updated_runtime"`
}

func record(state vmm.WireState, gen uint64) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: now}}
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
	made, err := wire.Decode(wire.Newest, []byte(req.Body))
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
