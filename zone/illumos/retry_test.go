package illumos

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
)

// A step that fails once is reported and retried.
func TestRemovalRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ command, text, then string }{
		{"zoneadm-halt", "unable to unmount file systems in zone", `state "$zone" down 7`},
		{"zoneadm-halt", "datalinks remain in zone after shutdown", `state "$zone" down 7`},
		{"zoneadm-halt", "unable to destroy zone", `state "$zone" down 7`},
		{"zoneadm-halt", "call to zoneadmd failed", `state "$zone" shutting_down 7`},
		{"zoneadm-uninstall", "another zoneadm may have an operation in progress.", ""},
		{"zoneadm-uninstall", "These file systems are mounted on subdirectories of", `state "$zone" incomplete`},
		{"zonecfg-delete", "Zone state is invalid for the requested operation", ""},
		{"dladm-delete-vnic", "link busy", ""},
	} {
		h := newScripted(t)
		m := h.manager()
		h.create(m)
		h.setState(testZone, zone.Running)
		h.on(test.command, `[ ! -e "$dir/refused" ] || { ordinary "$@" && exit; }
			touch "$dir/refused"; `+test.then+`
			echo "`+test.text+`" >&2; exit 1`)
		var reported []string
		removal := quick
		removal.Observe = func(r zone.Report) {
			if r.Err != nil {
				reported = append(reported, r.Err.Error())
			}
		}
		if err := zone.EnsureGone(bounded(t), m, testZone, removal); err != nil {
			t.Errorf("%s: %v", test.text, err)
		}
		if len(reported) == 0 || !strings.Contains(reported[0], test.text) {
			t.Errorf("reported %q, want %q", reported, test.text)
		}
		h.wantNothing()
	}
}

// A cancelled boot continues in zoneadmd, and the zone is listed as installed until
// it is ready: it can start to run just before it is uninstalled.
func TestBootOvertakesRemoval(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zoneadm-boot", `touch "$dir/booting"; await uninstalling; state "$zone" running 7; touch "$dir/booted"`)
	h.on("zoneadm-uninstall", `[ ! -e "$dir/uninstalling" ] || { ordinary "$@" && exit; }
		touch "$dir/uninstalling"; await booted
		echo "zoneadm: zone '$zone': uninstall operation is invalid for running zones." >&2; exit 1`)
	started := begin(func() error { return createAndBoot(t, m) })
	h.await("the boot to be under way", func() bool { return h.has("booting") })
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Fatal(err)
	}
	if err := <-started; !errors.Is(err, command.ErrLeft) || !errors.Is(err, zonelock.ErrRemoved) {
		t.Errorf("the boot ended with %v, want that it was left", err)
	}
	if !strings.Contains(h.log(), " halt\n") {
		t.Errorf("a zone that runs was not halted:\n%s", h.log())
	}
	h.wantNothing()
}

// zoneadm waits for a zone's lock without limit. Such an uninstall ends with its
// context and leaves nothing behind; the next one succeeds once the lock is free.
func TestLockOfAnother(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testZone, zone.Installed)
	h.on("zoneadm-uninstall", `trap '' HUP; touch "$dir/waiting"; await never`)
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	ended := begin(func() error { return m.Remove(ctx, zone.RungUninstall, testZone) })
	h.await("the uninstall to wait", func() bool { return h.has("waiting") })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || errors.Is(err, command.ErrLeft) || m.LeftBehind() != 0 {
		t.Errorf("got error %v, %d commands are left behind", err, m.LeftBehind())
	}
	h.on("zoneadm-uninstall", "")
	h.step(m, zone.RungUninstall)
}

// Another program may delete the zone at the same time.
func TestConcurrentDeletion(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"zonecfg-export", "zonecfg-delete"} {
		h := newScripted(t)
		m := h.manager()
		h.create(m)
		h.step(m, zone.RungUninstall)
		h.on(command, `state "$zone" absent; rm "$dir/configs/$zone.xml"; echo "$zone: No such zone configured" >&2; exit 1`)
		if err := m.Remove(bounded(t), zone.RungDelete, testZone); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if err := m.Remove(bounded(t), zone.RungRelease, testZone); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		h.wantNothing()
	}
}
