package illumos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// The exit code of an install says nothing; the state does. Whatever is left of
// one that failed is removed.
func TestInstallBelievesTheState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"done, and says no", `ordinary; exit 1`, ""},
		{"not done, and says it is", `state "$zone" incomplete`, "it is incomplete"},
		{"brand fails", `mkdir "$dir/root/$zone"; state "$zone" incomplete; echo "ERROR: no baseline"; exit 1`, "no baseline"},
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
		if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
			t.Error(err)
		}
		h.wantNothing()
	}
}

// zonecfg can fail and have saved what it read so far. No zone is made of that.
func TestHalfConfiguration(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zonecfg-create", `head -3 "$4" >"$dir/configs/$zone"; state "$zone" configured
		echo "On line 4 of $4: Resource incomplete." >&2; exit 1`)
	if _, err := m.Create(bounded(t), testSpec()); err == nil || !strings.Contains(err.Error(), "Resource incomplete") {
		t.Errorf("got error %v", err)
	}
	if log := h.log(); strings.Contains(log, "install") || strings.Contains(log, "create-vnic") {
		t.Errorf("it went on: %s", log)
	}
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Error(err)
	}
	h.wantNothing()
}

// A zone can go between the list and the look at its configuration, and a
// configuration can be unreadable: others are made all the same.
func TestUnreadableConfigurationOfAnother(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"gone":  `ordinary`,
		"other": `echo "zonecfg: could not load configuration" >&2; exit 1`,
	} {
		h := newScripted(t)
		h.on("zonecfg-export", script)
		h.setState(testPrefix+"another", zone.Installed)
		if _, err := h.manager().Create(bounded(t), testSpec()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The manager keeps no file below a zone's root open: a halt could not unmount it.
func TestNothingIsHeldOpen(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Fatal(err)
	}
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
