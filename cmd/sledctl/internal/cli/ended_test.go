package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// past returns ended VMMs, the latest first: two with the same hostname, which a VMM on
// this sled has too, and one that died.
func past() []vmm.Status {
	var all []vmm.Status
	for _, v := range []struct {
		id, hostname string
		state        vmm.WireState
		since        time.Duration
		reason       string
		by           string
	}{
		{"d0c1f6f1-0a1b-4c5d-8e9f-000000000001", "web-1", vmm.WireDestroyed, 3 * time.Minute, "killed by the operator", "operator"},
		{"f00dfeed-0a1b-4c5d-8e9f-000000000002", "crash-1", vmm.WireFailed, 5 * time.Hour, "zone ended: signal:\x1b[31m killed", ""},
		{"d0c9aa07-0a1b-4c5d-8e9f-000000000003", "web-1", vmm.WireDestroyed, 30 * time.Hour, "Propolis reported it destroyed", "nexus"},
	} {
		s := base(uuid.MustParse(v.id), v.hostname, v.state, 9, vmm.Forgotten, v.since)
		s.Outcome, s.Reason = string(v.state), v.reason
		if v.by != "" {
			s.Stop = &vmm.StopStatus{By: v.by, Requested: ago(v.since + time.Minute), Grace: time.Minute}
		}
		s.Events = []vmm.Event{{At: ago(v.since), Kind: "forgotten"}}
		all = append(all, s)
	}
	return all
}

func newSledWithPast(t *testing.T) *sled {
	t.Helper()
	s := newSled(t, wholeSled()...)
	all := past()
	for i := range all {
		s.agent.PutEnded(all[len(all)-1-i])
	}
	return s
}

func TestListOfTheEndedAsJSON(t *testing.T) {
	t.Parallel()
	s := newSledWithPast(t)
	var got []vmm.Status
	if err := json.Unmarshal([]byte(s.must("vmm list --ended -o json").out), &got); err != nil {
		t.Fatal(err)
	}
	want := past()
	for i := range want {
		want[i].Events = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if out := newSled(t).must("vmm list --ended -o json").out; strings.TrimSpace(out) != "[]" {
		t.Errorf("without any: %q", out)
	}
	if out := newSled(t).must("vmm list --ended").out; out != "The agent has no record of a VMM that has ended.\n" {
		t.Errorf("without any: %q", out)
	}
}

// Commands that only read find ended VMMs by a prefix of the id and by hostname.
// Commands that act find only VMMs on this sled.
func TestEndedVMMsAreFound(t *testing.T) {
	t.Parallel()
	s := newSledWithPast(t)
	const crash = "f00dfeed-0a1b-4c5d-8e9f-000000000002"
	for _, name := range []string{"f00d", "F00DFEED", "crash-1", "Crash-1", crash} {
		if out := s.must("vmm show " + name).out; !strings.Contains(out, crash) || !strings.Contains(out, "forgotten") {
			t.Errorf("show %s: %s", name, out)
		}
		if out := s.must("events --full " + name).out; !strings.Contains(out, crash) || !strings.Contains(out, "forgotten") {
			t.Errorf("events %s: %s", name, out)
		}
		if r := s.must("vmm wait --for failed " + name); !strings.Contains(r.out, crash) {
			t.Errorf("wait %s: %s", name, r.out)
		}
	}
	for _, line := range []string{"vmm stop f00d", "vmm kill crash-1", "vmm unregister f00d", "vmm start crash-1", "vmm reboot f00d"} {
		r := s.run(line)
		if r.code != exitNotFound || !strings.Contains(r.err, "VMM "+crash+" (crash-1) has ended failed at 17:35:53Z, 5h ago") {
			t.Errorf("%s: exit %d, %s", line, r.code, r.err)
		}
	}
	for line, want := range map[string][]string{
		"vmm show d0c": {"d0c1f6f1-0a1b-4c5d-8e9f-000000000001  web-1  destroyed at 22:32:53Z, 3m ago", "000000000003"},
		"vmm show d0":  {"000000000001", "000000000003"},
	} {
		r := s.run(line)
		if r.code != exitUsage {
			t.Errorf("%s: exit %d", line, r.code)
		}
		for _, text := range want {
			if !strings.Contains(r.err, text) {
				t.Errorf("%s: no %s in %s", line, text, r.err)
			}
		}
	}
	if r := s.must("vmm show web-1"); !strings.Contains(r.out, wellID.String()) {
		t.Errorf("a VMM on this sled is not preferred to those that have ended: %s", r.out)
	}
	if r := s.run("vmm show web-7"); r.code != exitNotFound {
		t.Errorf("of an unknown hostname: exit %d, %s", r.code, r.err)
	}
}
