package illumos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// The state decides whether an install succeeded, not its exit code. Anything left
// of a failed one is removed.
func TestInstallChecksState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"done, exit 1", `ordinary; exit 1`, ""},
		{"not done, exit 0", `state "$zone" incomplete`, "it is incomplete"},
		{"brand fails", `mkdir "$dir/root/$zone"; state "$zone" incomplete; echo "ERROR: no baseline"; exit 1`, "no baseline"},
		{"no baseline", `echo 'ERROR: could not locate "gzonly.txt"' >&2; state "$zone" incomplete; exit 1`, "system/omicron/baseline:default may not be online"},
		{"brand leaves nothing", `echo "ERROR: no image" >&2; exit 1`, "no image"},
		{"not acceptable", `echo "z: path is on NFS
			zoneadm: zone $zone failed to verify" >&2; exit 1`, "path is on NFS zoneadm: zone " + testZone + " failed to verify"},
	} {
		h := newScripted(t)
		m := h.manager()
		h.on("zoneadm-install", test.script)
		_, err := m.Create(bounded(t), testSpec())
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.err)
		}
		h.wantGone(m)
	}
}

// A brand may require an option before the image, as OmniOS's illumos does.
func TestInstallWithOption(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	cfg := h.config()
	cfg.Image = []string{"-s", "/opt/propolis.zfs.xz"}
	h.create(h.managerOf(cfg))
	if !strings.Contains(h.log(), " install -s /opt/propolis.zfs.xz\n") {
		t.Errorf("commands:\n%s", h.log())
	}
}

// A failed zonecfg can have saved part of a configuration. It is not installed.
func TestHalfConfiguration(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zonecfg-create", `head -3 "$4" >"$dir/configs/$zone.xml"; state "$zone" configured
		echo "On line 4 of $4: Resource incomplete." >&2; exit 1`)
	if err := create(t, m); err == nil || !strings.Contains(err.Error(), "Resource incomplete") {
		t.Errorf("got error %v", err)
	}
	if log := h.log(); strings.Contains(log, "install") || strings.Contains(log, "create-vnic") {
		t.Errorf("Create continued: %s", log)
	}
	h.wantGone(m)
}

// A listed zone can be deleted before its configuration is read, and a configuration
// can be unreadable. Neither keeps other zones from being created.
func TestUnreadableConfigurationOfAnother(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"deleted": `ordinary`,
		"other":   `if [ "$zone" = ` + testZone + ` ]; then ordinary && exit; fi; echo "zonecfg: could not load configuration" >&2; exit 1`,
	} {
		h := newScripted(t)
		h.on("zonecfg-export", script)
		h.setState(testPrefix+"another", zone.Installed)
		if _, err := h.manager().Create(bounded(t), testSpec()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The manager keeps no file below a zone's root open: that would block a halt.
func TestNothingIsHeldOpen(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.create(m)
	h.write("root/"+testZone+"/root/var/svc/log/system-illumos-propolis-server:default.log", "line\n")
	if _, err := m.Tail(bounded(t), testZone, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		t.Skip("open files cannot be listed here: ", err)
	}
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, h.path("bin/root")) {
			t.Errorf("%s is open", file)
		}
	}
}
