package illumos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// A temporary lack of resources is ErrBusy, other failures are not.
func TestHostIsBusy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		command, text string
		busy          bool
	}{
		{"ipadm-show-addr", "ipadm: fork failed: Resource temporarily unavailable", true},
		{"zonecfg-create", "zonecfg: Not enough space", true},
		{"dladm-create-vnic", "dladm: vnic creation over underlay_stub0 failed: Not enough space", true},
		{"zoneadm-install", "sh: cannot fork: no swap space", true},
		{"zoneadm-install", "ERROR: cannot read image", false},
		{"zoneadm-boot", "zone 'z': could not start zoneadmd: Resource temporarily unavailable", true},
		{"zoneadm-boot", "zone 'z': could not stat /sbin/init", false},
	} {
		t.Run(fmt.Sprintf("%s-%v", test.command, test.busy), func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			h.on(test.command, `[ ! -e "$dir/short" ] || { ordinary "$@"; exit; }; touch "$dir/short"; echo "`+test.text+`" >&2; exit 1`)
			if err := createAndBoot(t, m); err == nil || errors.Is(err, zone.ErrBusy) != test.busy || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got error %v, want busy %v", err, test.busy)
			}
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Fatal(err)
			}
			if err := createAndBoot(t, m); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// A lack of resources in the agent itself counts as well, unless the start was
// cancelled.
func TestAgentLacksResources(t *testing.T) {
	t.Parallel()
	m := newScripted(t).manager()
	short := &os.PathError{Op: "fork/exec", Path: "/usr/sbin/zoneadm", Err: syscall.EAGAIN}
	ctx, cancel := context.WithCancel(t.Context())
	err := m.start(ctx, "boot", testZone, func(context.Context) error { return short })
	if !errors.Is(err, zone.ErrBusy) || !errors.Is(err, short) {
		t.Errorf("got %v", err)
	}
	err = m.start(ctx, "boot", testZone, func(context.Context) error { cancel(); return short })
	if errors.Is(err, zone.ErrBusy) || !errors.Is(err, short) {
		t.Errorf("cancelled: got %v", err)
	}
}
