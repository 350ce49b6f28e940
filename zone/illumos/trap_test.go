package illumos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// bounded is a context that ends before the test is given up.
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
		if err := h.manager().Kill(bounded(t), testZone); (err == nil) != test.ok {
			t.Errorf("%s: got error %v", test.name, err)
		}
	}
}

// Uninstall goes by the state too, and takes nothing from a zone with processes.
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
		{"said to be done", zone.Installed, ``, false},
		{"refused", zone.Installed, `exit 22`, false},
		{"already", zone.Configured, `touch "$dir/ran"`, true},
		{"absent", zone.Absent, `touch "$dir/ran"`, true},
		{"running", zone.Running, `touch "$dir/ran"`, false},
		{"down", zone.Down, `touch "$dir/ran"`, false},
	} {
		h := newScripted(t)
		h.setState(testZone, test.from)
		h.on("zoneadm-uninstall", test.script+"\n:")
		if err := h.manager().Uninstall(bounded(t), testZone); (err == nil) != test.ok {
			t.Errorf("%s: got error %v", test.name, err)
		}
		if h.has("ran") {
			t.Errorf("%s: zoneadm uninstall was run", test.name)
		}
	}
}

func TestDeleteLeavesWhatHasFiles(t *testing.T) {
	t.Parallel()
	for _, s := range []zone.State{zone.Incomplete, zone.Installed, zone.Running, zone.Unknown} {
		h := newScripted(t)
		h.setState(testZone, s)
		if err := h.manager().Delete(bounded(t), testZone); err == nil {
			t.Errorf("a zone that is %v was deleted", s)
		}
		h.wantNothingRun(s)
	}
}

// The configuration stays as long as a link that it names does.
func TestDeleteKeepsConfigurationOfBusyLinks(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	if err := m.Uninstall(bounded(t), testZone); err != nil {
		t.Fatal(err)
	}
	h.on("dladm-delete-vnic", `[ "$2" = oxGuest0 ] || { rm "$dir/links/$2" && exit; }
		echo "dladm: vnic deletion failed: link busy" >&2; exit 1`)
	if err := m.Delete(bounded(t), testZone); err == nil || !strings.Contains(err.Error(), "link busy") {
		t.Errorf("got error %v", err)
	}
	if !h.has("configs/"+testZone) || h.has("links/oxGuest1") {
		t.Error("the configuration is gone, or a link was not tried")
	}
	h.on("dladm-delete-vnic", "")
	// Another agent, which knows only what the host tells, goes on.
	other := h.manager()
	h.on("zonecfg-delete", "exit 1")
	if err := other.Delete(bounded(t), testZone); err == nil {
		t.Error("a deletion that failed is said to have succeeded")
	}
	if h.has("links/oxGuest0") {
		t.Error("a link is left")
	}
	h.on("zonecfg-delete", "")
	if err := other.Delete(bounded(t), testZone); err != nil {
		t.Error(err)
	}
	h.wantNothing()
}

// Links that are not named as Create's are somebody else's.
func TestDeleteLeavesStrangersLinks(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Configured)
	h.write("configs/"+testZone, "add net\nset physical=igb0\nend\nadd net\nset physical=oxControlInstanceX1\nend\n")
	if err := h.manager().Delete(bounded(t), testZone); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(h.log(), "delete-vnic") {
		t.Errorf("commands: %s", h.log())
	}
}

// What this manager has made for a zone goes, even if somebody has deleted the
// configuration that tells of it.
func TestReleaseAfterDeletionByHand(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	h.write("links/oxControlInstance77", "")
	_ = os.Remove(h.path("bin/configs/" + testZone))
	h.setState(testZone, zone.Absent)
	if err := m.Release(bounded(t), testZone); err != nil {
		t.Fatal(err)
	}
	if !h.has("links/oxControlInstance77") {
		t.Error("a link that may be another agent's was removed")
	}
	_ = os.Remove(h.path("bin/links/oxControlInstance77"))
	h.wantNothing()
}

// zfs names the dataset that a path lies in, which need not be the zone's.
func TestDatasetOfAllZonesIsSpared(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mountpoint string
		destroyed  bool
	}{{"$dir/root", false}, {"$5", true}, {"$5/root", false}, {"none", false}} {
		h := newScripted(t)
		m := h.manager()
		if _, err := m.Create(bounded(t), testSpec()); err != nil {
			t.Fatal(err)
		}
		h.on("zfs-list", `printf 'rpool/zones/a\t%s\n' "`+test.mountpoint+`"`)
		h.on("zfs-destroy", `rm -rf "$dir/root/`+testZone+`"`)
		if err := m.Uninstall(bounded(t), testZone); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(h.log(), "zfs destroy -r rpool/zones/a\n"); got != test.destroyed {
			t.Errorf("mounted on %s: destroyed %v", test.mountpoint, got)
		}
		if h.has("root/" + testZone) {
			t.Errorf("mounted on %s: the zonepath is left", test.mountpoint)
		}
	}
}

func TestBusyDatasetIsAnError(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	h.on("zfs-list", `printf 'rpool/zones/a\t%s\n' "$5"`)
	h.on("zfs-destroy", `echo "cannot unmount: Device busy" >&2; exit 1`)
	if err := m.Uninstall(bounded(t), testZone); err == nil || !strings.Contains(err.Error(), "Device busy") {
		t.Errorf("got error %v", err)
	}
	if !h.has("root/" + testZone) {
		t.Error("files were removed from below a dataset that is mounted")
	}
}

func TestMountedIn(t *testing.T) {
	t.Parallel()
	mounts := "rpool/ROOT\t/\tzfs\trw\t1\nswap\t/tmp\ttmpfs\trw\t1\n/data\t/zones/a/root/data\tlofs\tro\t1\nx\t/zones/ab\tzfs\t\t1\n"
	for path, want := range map[string]string{"/zones/a": "/zones/a/root/data", "/zones/ab": "/zones/ab", "/zones/b": "",
		"/zones/a/root/data/deeper": ""} {
		if got := strings.Join(mountedIn(mounts, path), " "); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// What a halt has left mounted in a zone is unmounted, the last first; what is
// mounted elsewhere is not.
func TestUninstallUnmounts(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	m.mnttab = h.path("bin/mnttab")
	path := h.path("bin/root/" + testZone)
	h.write("mnttab", fmt.Sprintf("p\t%[1]s/root\tzfs\t\t1\na\t%[1]s/root/a\tlofs\t\t1\nb\t%[1]s/root/a/b\tlofs\t\t1\nx\t%[1]sx/root/a\tlofs\t\t1\n", path))
	h.on("zoneadm-uninstall", `state "$zone" configured`)
	err := m.Uninstall(bounded(t), testZone)
	if err == nil || !strings.Contains(err.Error(), "is mounted") {
		t.Errorf("files were removed from below a mount, error %v", err)
	}
	short := strings.TrimPrefix(path, h.path("bin"))
	want := "umount " + short + "/root/a/b\numount " + short + "/root/a\n"
	if !strings.Contains(h.log(), want) {
		t.Errorf("commands:\n%s", h.log())
	}
	h.write("mnttab", "")
	if err := m.Uninstall(bounded(t), testZone); err != nil {
		t.Error(err)
	}
	if h.has("root/" + testZone) {
		t.Error("the zonepath is left")
	}
}

func TestUninstallUnmountsByForce(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testZone, zone.Installed)
	m.mnttab = h.path("bin/mnttab")
	h.write("mnttab", "a\t"+h.path("bin/root/"+testZone)+"/root/a\tlofs\t\t1\n")
	h.on("umount-umount", `[ "$1" = -f ]`)
	if err := m.Uninstall(bounded(t), testZone); err != nil {
		t.Error(err)
	}
	h.setState(testZone, zone.Installed)
	h.on("umount-umount", `echo "umount: busy" >&2; exit 1`)
	if err := m.Uninstall(bounded(t), testZone); err == nil || !strings.Contains(err.Error(), "umount: busy") {
		t.Errorf("got error %v", err)
	}
}

// As long as a command may still make something of a zone, nobody is told that
// the zone is gone.
func TestWhatSurvivesKillHoldsUpTheEnd(t *testing.T) {
	t.Parallel()
	for verb, state := range map[string]zone.State{"zonecfg-create": zone.Absent, "dladm-create-vnic": zone.Configured} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			m.commands.Kill = func(int) error { return nil }
			h.on(verb, `touch "$dir/hangs"; await let-go`)
			created := make(chan error, 1)
			go func() {
				_, err := m.Create(bounded(t), testSpec())
				created <- err
			}()
			h.await("the command to hang", func() bool { return h.has("hangs") })
			trying, cancel := context.WithCancel(bounded(t))
			removal := quick
			removal.Observe = func(r zone.Report) {
				if errors.Is(r.Err, command.ErrLeft) {
					cancel()
				}
			}
			if err := zone.EnsureGone(trying, m, testZone, removal); err == nil {
				t.Error("the zone is said to be gone")
			}
			if err := <-created; err == nil {
				t.Error("Create succeeded")
			}
			if i, err := m.Look(bounded(t), testZone); err != nil || i.State != state || !strings.Contains(i.Detail, "has not ended") {
				t.Errorf("it is %+v, error %v, want %v", i, err, state)
			}
			h.write("let-go", "")
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Error(err)
			}
			h.wantNothing()
		})
	}
}

// The VM of a zone is destroyed by its Propolis id, and only when there is
// nobody left who could have it open.
func TestDestroyVM(t *testing.T) {
	t.Parallel()
	for _, s := range zone.States() {
		h := newScripted(t)
		cfg, vms := h.config(), &fakeVMs{there: true}
		cfg.VM = vms
		h.setState(testZone, s)
		err := h.managerOf(cfg).DestroyVM(bounded(t), testZone)
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
	if err := h.managerOf(cfg).DestroyVM(bounded(t), testZone); err != nil || len(vms.destroyed) > 0 {
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
