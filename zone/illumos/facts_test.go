package illumos

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
)

// changed returns a configuration with another prefix, zone root and link.
func (h *scripted) changed() Config {
	cfg := h.config()
	cfg.Prefix, cfg.ZoneRoot, cfg.Link = "other_", h.path("bin/elsewhere"), "net0"
	h.write("links/net0", "")
	return cfg
}

// A zone keeps its zonepath and links when the configuration changes.
func TestRecalledZoneIsRemoved(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*scripted){
		"whole":         func(*scripted) {},
		"deconfigured":  func(h *scripted) { h.remove("configs/" + testZone + ".xml"); h.setState(testZone, zone.Absent) },
		"unreadable":    func(h *scripted) { h.on("zonecfg-export", "echo broken >&2; exit 1") },
		"configured":    func(h *scripted) { h.setState(testZone, zone.Configured) },
		"shutting-down": func(h *scripted) { h.setState(testZone, zone.ShuttingDown) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			first := h.manager()
			made, err := first.Create(bounded(t), testSpec())
			if err != nil {
				t.Fatal(err)
			}
			if err := first.Boot(bounded(t), testZone); err != nil {
				t.Fatal(err)
			}
			cfg, vms := h.changed(), &fakeVMs{there: true}
			cfg.VM = vms
			m := h.managerOf(cfg)
			if err := m.Remove(bounded(t), zone.RungKill, testZone); err == nil {
				t.Error("a zone that was not recalled was killed")
			}
			m.Recall(testZone, made)
			infos, err := m.List(bounded(t))
			if want := []zone.Info{{Name: testZone, State: zone.Running, Incarnation: "zid-7"}}; err != nil || !cmp.Equal(want, infos) {
				t.Errorf("listed %v, error %v", infos, err)
			}
			spoil(h)
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Fatal(err)
			}
			if want := []string{strings.TrimPrefix(testZone, testPrefix)}; vms.destroyed == nil || vms.destroyed[0] != want[0] {
				t.Errorf("VMs destroyed: %v", vms.destroyed)
			}
			h.remove("links/net0")
			h.wantNothing()
		})
	}
}

// Without a recorded zonepath, the listed one is used. A path that cannot be the
// zone's is ignored.
func TestZonePathIsTheListedOne(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.create(h.manager())
	m := h.managerOf(h.changed())
	m.Recall(testZone, zone.Made{Path: "/"})
	h.step(m, zone.RungUninstall)
	if h.has("root/" + testZone) {
		t.Error("the zonepath is left")
	}
	for _, path := range []string{"", "/", "/" + testZone, "relative/" + testZone, "/zones/../" + testZone, "/zones/other", "/zones"} {
		other := h.managerOf(h.changed())
		other.Recall(testZone, zone.Made{Path: path})
		if got, want := other.zonePath(testZone), h.path("bin/elsewhere/"+testZone); got != want {
			t.Errorf("recalled at %q: it is at %s", path, got)
		}
	}
}

// Links of recalled zones are not reused.
func TestRecalledLinksAreTaken(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	m.Recall("old_74f2e1f2-6d2c-4a4e-9f3e-7d2d5a3a9b11", zone.Made{Datalinks: []string{"oxControlInstance0"}, Links: map[string]string{"nic": "oxGuest0"}})
	made, err := m.Create(bounded(t), testSpec())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"oxControlInstance1", "oxGuest1", "oxGuest2"}, made.Datalinks); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}
