package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// requested returns the ids of the VMMs that the sled API was asked to change.
func (a *sledAPI) requested() (ids []string) {
	for _, r := range a.requests() {
		id, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/vmms/"), "/")
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func texts(ids ...uuid.UUID) (all []string) {
	for _, id := range ids {
		all = append(all, id.String())
	}
	return all
}

// TestTargets checks which VMMs a command line means.
func TestTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want []string
	}{
		{"vmm stop db-1", texts(stopID)},
		{"vmm stop DB-1 81bc", texts(stopID, stuckID)},
		{"vmm start 52c0 db-1 " + stopID.String(), texts(stopID)},
		{"vmm stop --all", texts(wellID, twinID, stopID, stuckID, silentID, lateID)},
		{"vmm reboot --selector state=running", texts(wellID, silentID)},
		{"vmm stop --selector state=running,hostname=WEB-*", texts(wellID)},
		{"vmm stop -l hostname=web-* -l hostname!=web-1", texts(twinID)},
		{"vmm stop --selector phase==booting", texts(lateID)},
		{"vmm stop --selector id=3f2a*", texts(wellID, twinID)},
		{"vmm unregister web-1 web-2", texts(wellID, twinID)},
		{"vmm stop --selector state=failed", nil},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			s := newSled(t, wholeSled()...)
			r := s.must(c.line)
			if diff := cmp.Diff(c.want, s.api.requested()); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
			if len(c.want) == 0 && r.err != "no VMM matches\n" {
				t.Errorf("said %q", r.err)
			}
		})
	}
}

// Nothing is changed if any of the VMMs cannot be found.
func TestTargetsThatCannotBeFound(t *testing.T) {
	t.Parallel()
	other := well()
	other.ID, other.Hostname = uuid.MustParse("77aa22de-6f1e-4b6e-9a53-0d2f6ad0c111"), "db-1"
	s := newSled(t, append(wholeSled(), other)...)
	unknown := uuid.MustParse("ffffffff-ffff-4fff-8fff-ffffffffffff").String()
	for _, c := range []struct {
		line string
		code int
		says []string
	}{
		{"web-1 nobody", exitNotFound, []string{"nothing was changed: no VMM's id begins with nobody and none has it as its hostname"}},
		{"web-1 " + unknown, exitNotFound, []string{"no VMM's id begins with " + unknown}},
		{"web-1 db-1", exitUsage, []string{"nothing was changed: db-1 could be any of:", stopID.String() + "  db-1", other.ID.String() + "  db-1"}},
		{"db-1", exitUsage, []string{"db-1 could be any of:", stopID.String(), other.ID.String()}},
		{"", exitUsage, []string{"which VMM?"}},
		{"--bogus", exitUsage, []string{"unknown flag"}},
		{"web-1 --all", exitUsage, []string{"either IDs, or --all or --selector"}},
		{"--all --selector state=running", exitUsage, []string{"none of the others can be"}},
		{"--selector running", exitUsage, []string{`"running": want FIELD=PATTERN`}},
		{"--selector color=red", exitUsage, []string{`"color": want one of the fields hostname, id, instance, phase, state`}},
		{"--selector hostname=[", exitUsage, []string{"syntax error in pattern"}},
	} {
		for _, command := range []string{"stop", "kill"} {
			r := s.run("vmm " + command + " " + c.line)
			if r.code != c.code {
				t.Errorf("%s %s: exit %d", command, c.line, r.code)
			}
			for _, text := range c.says {
				if !strings.Contains(r.err, text) {
					t.Errorf("%s %s: no %q in %s", command, c.line, text, r.err)
				}
			}
		}
	}
	for _, line := range []string{"vmm unregister --all", "vmm unregister"} {
		if r := s.run(line); r.code != exitUsage {
			t.Errorf("%s: exit %d", line, r.code)
		}
	}
	if len(s.api.requests()) > 0 || len(s.agent.Killed()) > 0 {
		t.Error("a VMM was changed")
	}
}

// One VMM's failure does not keep the others from being killed, and is reported.
func TestSomeTargetsFail(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), twin(), stopping())
	s.agent.OnKill(func(_ context.Context, v vmm.Status) (vmm.Status, error) {
		if v.ID == twinID {
			return v, errors.New("the host is on fire")
		}
		return v, nil
	})
	r := s.run("vmm kill --all")
	if r.code != exitOther || strings.Count(r.out, "\n") != 2 {
		t.Errorf("exit %d, %s", r.code, r.out)
	}
	if want := "sledctl: VMM " + twinID.String() + " (web-2): kill VMM " + twinID.String() + ": the host is on fire\nsledctl: 1 of 3 VMMs failed\n"; r.err != want {
		t.Errorf("said %q, want %q", r.err, want)
	}
	var got []struct {
		ID       uuid.UUID
		Hostname string
		Error    string
		Result   *vmm.Status
	}
	r = s.run("vmm kill --all -o json")
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got) != 3 {
		t.Fatalf("%v: %s", err, r.out)
	}
	for _, o := range got {
		if failed := o.ID == twinID; failed != (o.Error != "") || failed != (o.Result == nil) || o.Hostname == "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestStopSeveralAndWait(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), twin())
	s.api.answers(http.StatusOK, updated{new(record(vmm.WireStopping, 8))})
	for _, v := range []vmm.Status{well(), twin()} {
		v.Record.VMM.State, v.Phase, v.WaitsFor = vmm.WireDestroyed, vmm.Ended.String(), ""
		s.agent.Put(v)
	}
	r := s.must("vmm stop web-1 web-2 --wait")
	if want := wellID.String() + " is destroyed, ended\n" + twinID.String() + " is destroyed, ended\n"; r.out != want {
		t.Errorf("%s\n%s", r.out, r.err)
	}
}

func TestWaitForSeveral(t *testing.T) {
	t.Parallel()
	s := newSledWithPast(t)
	r := s.must("vmm wait --selector state=running --for running")
	if want := wellID.String() + " is running, active\n" + silentID.String() + " is running, active\n"; r.out != want || !strings.Contains(r.err, "waiting for VMM "+wellID.String()+" (web-1)\n") {
		t.Errorf("%s\n%s", r.out, r.err)
	}
	r = s.run("vmm wait web-1 crash-1 --for running")
	if r.code != exitOtherEnd || !strings.Contains(r.out, wellID.String()) || !strings.Contains(r.err, "1 of 2 VMMs failed") {
		t.Errorf("of one that has ended: exit %d, %s\n%s", r.code, r.out, r.err)
	}
}

// The time limit holds for all VMMs together.
func TestStopSeveralTimesOut(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), twin())
	r := s.run("vmm stop --all --wait --timeout 1s")
	if r.code != exitTimedOut || strings.Count(r.err, "timed out after 1s") != 2 || !strings.Contains(r.err, "2 of 2 VMMs failed") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

func TestStopWithAGraceThatIsLimited(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping())
	if r := s.must("vmm stop db-1 --grace 2h"); !strings.Contains(r.out, "\nits grace is 10m, not 2h: the agent's watchdog.max_stop_grace or an earlier stop limits it\n") {
		t.Errorf("said %s", r.out)
	}
	if r := s.must("vmm stop db-1 --grace 10m"); strings.Contains(r.out, "limits") {
		t.Errorf("said %s", r.out)
	}
}

func TestSelectorOfAList(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	r := s.must("vmm list -l state=stopping,hostname!=db-2")
	if !strings.Contains(r.out, "db-1") || strings.Contains(r.out, "db-2") || strings.Contains(r.out, "web-1") {
		t.Errorf("listed %s", r.out)
	}
}
