package illumos

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// bounded returns a context with a deadline before the test's own.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestKillExitCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		state  zone.State
		ok     bool
	}{
		{"killed", "exit 0", zone.Running, true},
		{"no process", "exit 1", zone.Running, true},
		{"no such zone", "exit 2", zone.Absent, true},
		{"not active", "exit 2", zone.Installed, true},
		{"cannot", "exit 2", zone.Running, false},
		{"fatal", "exit 3", zone.ShuttingDown, false},
	} {
		h := newScripted(t)
		h.setState(testZone, test.state)
		h.on("pkill-run", `[ "$*" = "-9 -z `+testZone+`" ] || exit 3; `+test.script)
		if err := h.manager().Remove(bounded(t), zone.RungKill, testZone); (err == nil) != test.ok {
			t.Errorf("%s: got error %v", test.name, err)
		}
	}
}

// The state also decides about an uninstall. A zone with processes loses nothing.
func TestUninstall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		from   zone.State
		script string
		ok     bool
	}{
		{"done", zone.Installed, `state "$zone" configured`, true},
		{"done before", zone.Incomplete, `state "$zone" configured; exit 22`, true},
		{"half done", zone.Installed, `state "$zone" incomplete; exit 1`, false},
		{"reported as done", zone.Installed, ``, false},
		{"refused", zone.Installed, `exit 22`, false},
		{"already", zone.Configured, `touch "$dir/ran"`, true},
		{"absent", zone.Absent, `touch "$dir/ran"`, true},
		{"running", zone.Running, `touch "$dir/ran"`, false},
		{"down", zone.Down, `touch "$dir/ran"`, false},
	} {
		h := newScripted(t)
		h.setState(testZone, test.from)
		h.on("zoneadm-uninstall", test.script+"\n:")
		if err := h.manager().Remove(bounded(t), zone.RungUninstall, testZone); (err == nil) != test.ok {
			t.Errorf("%s: got error %v", test.name, err)
		}
		if h.has("ran") {
			t.Errorf("%s: zoneadm uninstall was run", test.name)
		}
	}
}

func TestDeleteNeedsUninstall(t *testing.T) {
	t.Parallel()
	for _, s := range []zone.State{zone.Incomplete, zone.Installed, zone.Running, zone.Unknown} {
		h := newScripted(t)
		h.setState(testZone, s)
		if err := h.manager().Remove(bounded(t), zone.RungDelete, testZone); err == nil {
			t.Errorf("a zone that is %v was deleted", s)
		}
		h.wantNothingRun(s)
	}
}

// The configuration is kept while a link that it names exists.
func TestDeleteKeepsConfigurationOfBusyLinks(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.create(m)
	h.step(m, zone.RungUninstall)
	h.on("dladm-delete-vnic", `[ "$2" = oxGuest0 ] || { rm "$dir/links/$2" && exit; }
		echo "dladm: vnic deletion failed: link busy" >&2; exit 1`)
	if err := m.Remove(bounded(t), zone.RungDelete, testZone); err == nil || !strings.Contains(err.Error(), "link busy") {
		t.Errorf("got error %v", err)
	}
	if !h.has("configs/"+testZone+".xml") || h.has("links/oxGuest1") {
		t.Error("the configuration was deleted, or a link was not tried")
	}
	h.on("dladm-delete-vnic", "")
	// A restarted agent, which knows only the host's state, continues.
	other := h.manager()
	h.on("zonecfg-delete", "exit 1")
	if err := other.Remove(bounded(t), zone.RungDelete, testZone); err == nil {
		t.Error("a deletion that failed returned no error")
	}
	if h.has("links/oxGuest0") {
		t.Error("a link is left")
	}
	h.on("zonecfg-delete", "")
	h.step(other, zone.RungDelete)
	h.wantNothing()
}

// Links whose names Create does not choose are not the agent's.
func TestDeleteKeepsOtherLinks(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Configured)
	h.write("configs/"+testZone+".xml", "set zonepath=/zones/z\nadd net\nset physical=igb0\nend\nadd net\nset physical=oxControlInstanceX1\nend\n")
	h.step(h.manager(), zone.RungDelete)
	if strings.Contains(h.log(), "delete-vnic") {
		t.Errorf("commands: %s", h.log())
	}
}

// The links that this manager created are removed even if another program has
// deleted the zone's configuration.
func TestReleaseAfterDeletionByHand(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.create(m)
	h.write("links/oxControlInstance77", "")
	_ = os.Remove(h.path("bin/configs/" + testZone + ".xml"))
	h.setState(testZone, zone.Absent)
	h.step(m, zone.RungRelease)
	if !h.has("links/oxControlInstance77") {
		t.Error("a link that may be another agent's was removed")
	}
	_ = os.Remove(h.path("bin/links/oxControlInstance77"))
	h.wantNothing()
}

// A failure to release one resource does not keep the others.
func TestReleaseTriesAll(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.create(m)
	_ = os.Remove(h.path("bin/configs/" + testZone + ".xml"))
	h.setState(testZone, zone.Absent)
	m.mnttab = h.path("bin/mnttab") // it does not exist
	h.on("dladm-delete-vnic", `[ "$2" = oxGuest1 ] && ordinary "$@"; echo "link busy: $2" >&2; exit 1`)
	err := m.Remove(bounded(t), zone.RungRelease, testZone)
	for _, want := range []string{"mnttab", "link busy: oxControlInstance0", "link busy: oxGuest0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
	if h.has("links/oxGuest1") {
		t.Error("a removable link is left")
	}
	h.on("dladm-delete-vnic", "")
	h.write("mnttab", "r\t/\tzfs\t\t1\n")
	h.step(m, zone.RungRelease)
	h.wantNothing()
}

// While a command that may still create something of a zone has not ended, the
// zone's removal does not end.
func TestSurvivingCommandBlocksRemoval(t *testing.T) {
	t.Parallel()
	for verb, state := range map[string]zone.State{"zonecfg-create": zone.Absent, "dladm-create-vnic": zone.Configured} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			m.commands.Kill = func(int) error { return nil }
			h.on(verb, `touch "$dir/hangs"; await let-go`)
			created := begin(func() error { return create(t, m) })
			h.await("the command to hang", func() bool { return h.has("hangs") })
			trying, cancel := context.WithCancel(bounded(t))
			removal := quick
			removal.Observe = func(r zone.Report) {
				if errors.Is(r.Err, command.ErrLeft) {
					cancel()
				}
			}
			if err := zone.EnsureGone(trying, m, testZone, removal); err == nil {
				t.Error("the removal ended")
			}
			if err := <-created; err == nil {
				t.Error("Create succeeded")
			}
			if i, err := m.Look(bounded(t), testZone); err != nil || i.State != state || !strings.Contains(i.Detail, "has not ended") {
				t.Errorf("it is %+v, error %v, want %v", i, err, state)
			}
			h.write("let-go", "")
			h.wantGone(m)
		})
	}
}

// The VM of a zone is destroyed by its Propolis id, and only when no process can
// have it open.
func TestDestroyVM(t *testing.T) {
	t.Parallel()
	for _, s := range zonetest.States() {
		h := newScripted(t)
		cfg, vms := h.config(), &fakeVMs{there: true}
		cfg.VM = vms
		h.setState(testZone, s)
		err := h.managerOf(cfg).Remove(bounded(t), zone.RungDestroyVM, testZone)
		if active(s) == (err == nil) {
			t.Errorf("%v: got error %v", s, err)
		}
		want := []string{strings.TrimPrefix(testZone, testPrefix)}
		if active(s) {
			want = nil
		}
		if diff := cmp.Diff(want, vms.destroyed); diff != "" {
			t.Errorf("%v: destroyed (-want +got):\n%s", s, diff)
		}
	}
}

func TestDestroyVMThatIsNotThere(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	cfg, vms := h.config(), &fakeVMs{}
	cfg.VM = vms
	if err := h.managerOf(cfg).Remove(bounded(t), zone.RungDestroyVM, testZone); err != nil || len(vms.destroyed) > 0 {
		t.Errorf("destroyed %v, error %v", vms.destroyed, err)
	}
}

type fakeVMs struct {
	there     bool
	destroyed []string
}

func (f *fakeVMs) Exists(context.Context, string) (bool, error) { return f.there, nil }

func (f *fakeVMs) DestroyVM(_ context.Context, name string) error {
	f.destroyed = append(f.destroyed, name)
	return nil
}
