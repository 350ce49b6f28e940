package illumos

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// zfs list names the dataset that contains a path, which may not be the zone's.
func TestParentDatasetIsKept(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mountpoint string
		destroyed  bool
	}{{"$dir/root", false}, {"$5", true}, {"$5/root", false}, {"none", false}} {
		h := newScripted(t)
		m := h.manager()
		h.create(m)
		h.on("zfs-list", `printf 'rpool/zones/a\t%s\n' "`+test.mountpoint+`"`)
		h.on("zfs-destroy", `rm -rf "$dir/root/`+testZone+`"`)
		h.step(m, zone.RungUninstall)
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
	h.create(m)
	h.on("zfs-list", `printf 'rpool/zones/a\t%s\n' "$5"`)
	h.on("zfs-destroy", `echo "cannot unmount: Device busy" >&2; exit 1`)
	if err := m.Remove(bounded(t), zone.RungUninstall, testZone); err == nil || !strings.Contains(err.Error(), "Device busy") {
		t.Errorf("got error %v", err)
	}
	if !h.has("root/" + testZone) {
		t.Error("files of a mounted dataset were removed")
	}
}

func TestMountedIn(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	m.mnttab = h.path("bin/mnttab")
	mounts := "rpool/ROOT\t/\tzfs\trw\t1\nswap\t/tmp\ttmpfs\trw\t1\n/data\t/zones/a/root/data\tlofs\tro\t1\nx\t/zones/ab\tzfs\t\t1\n"
	for path, want := range map[string]string{"/zones/a": "/zones/a/root/data", "/zones/ab": "/zones/ab", "/zones/b": "",
		"/zones/a/root/data/deeper": ""} {
		h.write("mnttab", mounts)
		got, err := m.mounts(path)
		if err != nil || want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0].point != want) {
			t.Errorf("%s: got %q, error %v, want %q", path, got, err, want)
		}
		h.write("mnttab", strings.Replace(mounts, "\t/\t", "\t/lost\t", 1))
		if got, err := m.mounts(path); err == nil {
			t.Errorf("%s: got %q from a table without /", path, got)
		}
	}
	if got := readMounts("tmpfs /a\\040b tmpfs rw 0 0\n"); len(got) != 1 || got[0] != (mount{"tmpfs", "/a b", "tmpfs"}) {
		t.Errorf("got %q", got)
	}
}

// Mounts that a halt left in a zone are unmounted, the last first; others are not.
func TestUninstallUnmounts(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.create(m)
	m.mnttab = h.path("bin/mnttab")
	path := h.path("bin/root/" + testZone)
	h.write("mnttab", fmt.Sprintf("r\t/\tzfs\t\t1\np\t%[1]s/root\tzfs\t\t1\na\t%[1]s/root/a\tlofs\t\t1\nb\t%[1]s/root/a/b\tlofs\t\t1\nx\t%[1]sx/root/a\tlofs\t\t1\n", path))
	h.on("zoneadm-uninstall", `state "$zone" configured`)
	err := m.Remove(bounded(t), zone.RungUninstall, testZone)
	if err == nil || !strings.Contains(err.Error(), "is mounted") {
		t.Errorf("files were removed from below a mount, error %v", err)
	}
	short := strings.TrimPrefix(path, h.path("bin"))
	want := "umount " + short + "/root/a/b\numount " + short + "/root/a\n"
	if !strings.Contains(h.log(), want) {
		t.Errorf("commands:\n%s", h.log())
	}
	h.write("mnttab", "r\t/\tzfs\t\t1\n")
	h.step(m, zone.RungUninstall)
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
	h.write("mnttab", "r\t/\tzfs\t\t1\na\t"+h.path("bin/root/"+testZone)+"/root/a\tlofs\t\t1\n")
	h.on("umount-umount", `[ "$1" = -f ] && printf 'r\t/\tzfs\t\t1\n' >"$dir/mnttab"`)
	h.step(m, zone.RungUninstall)
	h.setState(testZone, zone.Installed)
	h.write("mnttab", "r\t/\tzfs\t\t1\na\t"+h.path("bin/root/"+testZone)+"/root/a\tlofs\t\t1\n")
	h.on("umount-umount", `echo "umount: busy" >&2; exit 1`)
	if err := m.Remove(bounded(t), zone.RungUninstall, testZone); err == nil || !strings.Contains(err.Error(), "umount: busy") {
		t.Errorf("got error %v", err)
	}
}
