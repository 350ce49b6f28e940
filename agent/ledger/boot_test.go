package ledger

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
)

// TestOnlyKnownBootsDiffer saves a VMM in one boot and loads it in another. Either
// boot may have no id, or an id of another kind.
func TestOnlyKnownBootsDiffer(t *testing.T) {
	t.Parallel()
	const a, b = "0d1b26e8-3c1f-4f16-a2a1-3bb6e55e0b5f", "5b9a40b2-58a8-4e66-9ab5-9fbb2d2f2d0e"
	tests := []struct {
		saved, loaded string
		rebooted      bool
	}{
		{a, b, true}, {"file:" + a, "file:" + b, true}, {a, a, false}, {"", "", false}, {a, "", false}, {"", a, false},
		{"unknown", a, false}, {"1767225600", "file:" + a, false}, {"536454000", "1767225600", false}, {a, "file:" + b, false},
	}
	for _, tt := range tests {
		path, id := newPath(t), uuid.New()
		l := opened(t, path, Options{Clock: newClock(tt.saved, time.Hour)})
		saved(t, l, id, stopping(time.Now()))
		closed(t, l)
		got := loaded(t, opened(t, path, Options{Clock: newClock(tt.loaded, time.Minute)}))[id]
		if got.HostRebooted != tt.rebooted {
			t.Errorf("saved in %q, loaded in %q: rebooted: %t", tt.saved, tt.loaded, got.HostRebooted)
		}
		if got.State.Stop == nil || got.State.Phase != vmm.Stopping || got.State.Armed.For != vmm.ForStop {
			t.Errorf("saved in %q, loaded in %q: %+v", tt.saved, tt.loaded, got.State)
		}
	}
}

// TestUnreadableBootIDIsRetried: the failure is logged once, and the id is saved once
// it can be read.
func TestUnreadableBootIDIsRetried(t *testing.T) {
	t.Parallel()
	path, clock, log := newPath(t), newClock("", time.Hour), bytes.Buffer{}
	l := opened(t, path, Options{Clock: clock, Log: zerolog.New(&log)})
	loaded(t, l)
	for n := range 3 {
		saved(t, l, vmmID(n), stopping(time.Now()))
	}
	if n := clock.asked.Load(); n < 4 {
		t.Errorf("asked %d times", n)
	}
	closed(t, l)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `"level":"warn"`) {
		t.Errorf("%d lines in %s", n, &log)
	}
	l = opened(t, path, Options{Clock: newClock("first", time.Hour)})
	if loaded(t, l)[vmmID(1)].HostRebooted {
		t.Error("rebooted, though the saved boot id is unknown")
	}
	saved(t, l, vmmID(1), stopping(time.Now()))
	closed(t, l)
	all := loaded(t, opened(t, path, Options{Clock: newClock("second", time.Hour)}))
	if all[vmmID(0)].HostRebooted || !all[vmmID(1)].HostRebooted {
		t.Errorf("%+v", all)
	}
}

// TestDeadlineSurvivesAnyBoot: whatever the boot ids, a deadline is restored from the
// boot clock, never further away than its maximum.
func TestDeadlineSurvivesAnyBoot(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Minute
	tests := []struct {
		for_    vmm.Purpose
		longest time.Duration
	}{{vmm.ForStop, grace}, {vmm.ForStart, limits.StartTimeout}, {vmm.ForReboot, limits.RebootTimeout}}
	uptimes := []struct{ saved, loaded time.Duration }{
		{time.Hour, time.Hour + time.Minute}, // same boot
		{time.Hour, time.Minute},             // another boot, with less uptime
		{1000 * time.Hour, 0}, {time.Minute, 1000 * time.Hour},
	}
	for _, tt := range tests {
		for _, up := range uptimes {
			for _, boot := range []string{"first", "second", ""} {
				t.Run(fmt.Sprint(tt.for_, " ", up.saved, " ", up.loaded, " ", boot), func(t *testing.T) {
					path := newPath(t)
					synctest.Test(t, func(t *testing.T) {
						e := stopping(time.Now())
						e.State.Armed = vmm.Deadline{For: tt.for_, Epoch: 2, At: time.Now().Add(tt.longest)}
						if tt.for_ != vmm.ForStop {
							e.State.Phase, e.State.Stop = vmm.Active, nil
						}
						l := opened(t, path, Options{Clock: newClock("first", up.saved)})
						saved(t, l, vmmID(0), e)
						closed(t, l)
						l = opened(t, path, Options{Clock: newClock(boot, up.loaded)})
						got := loaded(t, l)[vmmID(0)].State.Armed
						closed(t, l)
						want := min(tt.longest, tt.longest-(up.loaded-up.saved))
						if left := time.Until(got.At); got.For != tt.for_ || left != want {
							t.Errorf("%+v: %s left, want %s", got, left, want)
						}
					})
				})
			}
		}
	}
}

// TestZoneIsRestored: the next agent has what the zone's removal needs.
func TestZoneIsRestored(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	e := stopping(time.Now())
	e.Zone = Zone{Name: "oxz_propolis-server_1", Path: "/zones/old/1", Incarnation: "7",
		Links: map[string]string{"nic": "opte0"}, Datalinks: []string{"oxControl0", "opte0"}}
	l := opened(t, path, Options{})
	saved(t, l, vmmID(0), e)
	closed(t, l)
	if diff := differences(e, loaded(t, opened(t, path, Options{}))[vmmID(0)].Entry); diff != "" && !strings.Contains(diff, "Armed") {
		t.Error(diff)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"name":"oxz_propolis-server_1"`, `"path":"/zones/old/1"`, `"datalinks":["oxControl0","opte0"]`} {
		if !bytes.Contains(file, []byte(key)) {
			t.Errorf("%s is not on disk", key)
		}
	}
}

// A soft reboot's deadline, further away than other reboots', is restored in full.
func TestSoftRebootKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		const soft = time.Hour / 2
		e := stopping(time.Now())
		e.State.Phase, e.State.Stop, e.State.RebootGrace = vmm.Active, nil, soft+vmm.SoftMargin
		e.State.Armed = vmm.Deadline{For: vmm.ForReboot, Epoch: 2, At: time.Now().Add(soft + vmm.SoftMargin)}
		l := opened(t, path, Options{Clock: newClock("first", time.Hour)})
		saved(t, l, vmmID(0), e)
		closed(t, l)
		l = opened(t, path, Options{Clock: newClock("first", time.Hour)})
		defer closed(t, l)
		if left := time.Until(loaded(t, l)[vmmID(0)].State.Armed.At); left != soft+vmm.SoftMargin {
			t.Errorf("%s left", left)
		}
	})
}
