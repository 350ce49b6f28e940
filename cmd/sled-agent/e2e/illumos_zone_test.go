package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// A running VMM has a running zone with datalinks for its server and its guest.
func TestZoneOfAVMM(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	v := h.launch()
	z, _ := b.Zone(v.zone())
	if z.State != "running" || z.ServerPID == 0 {
		t.Errorf("the VMM runs and its zone is %s, with server %d", z.State, z.ServerPID)
	}
	for _, link := range z.Config.Links() {
		if !slices.Contains(names(b.Links()), link) {
			t.Errorf("the zone has no datalink %s", link)
		}
	}
	if n := len(z.Config.Links()); n != 2 {
		t.Errorf("the zone has %d datalinks, want those of its server and its guest", n)
	}
	v.stopAndEnd()
}

// A zone with the prefix that is no VMM's is kept, unless the configuration says otherwise.
func TestOrphans(t *testing.T) {
	t.Parallel()
	for name, zones := range map[string]section{"kept": nil, "removed": {"orphans": "remove"}} {
		t.Run(name, func(t *testing.T) {
			h, b := newIllumosHarness(t, setup{zones: zones})
			zone := zonePrefix + uuid.NewString()
			h.terminate()
			if got := execute(t, "ledger", "settle", "--config", h.configFile()); got.status != 0 {
				t.Fatalf("%+v", got)
			}
			b.make(t, zone)
			h.start()
			waitFor(t, func() string {
				if !strings.Contains(h.agent().log(), "zone belongs to no VMM") {
					return "the orphan was not noticed"
				}
				return ""
			})
			if name == "removed" {
				b.reaches(t, zone, "")
				return
			}
			t.Cleanup(func() { b.unmake(t, zone) })
			v := h.launch()
			v.stopAndEnd()
			if got := b.State(zone); got != "running" {
				t.Errorf("the orphan is %q", got)
			}
		})
	}
}

// reaches waits until the zone is in a state.
func (b *illumosBackend) reaches(t *testing.T, zone, state string) {
	t.Helper()
	waitFor(t, func() string {
		if got := b.State(zone); got != state {
			return "the zone is " + got
		}
		return ""
	})
}

// make makes and boots a zone, as another program might.
func (b *illumosBackend) make(t *testing.T, zone string) {
	t.Helper()
	for _, argv := range [][]string{
		{"zonecfg", "-z", zone, "create -b; set brand=omicron1; set ip-type=exclusive; set zonepath=" + b.ZoneRoot() + "/" + zone},
		{"zoneadm", "-z", zone, "install", b.Images()[0]},
		{"zoneadm", "-z", zone, "boot"},
	} {
		b.mustRun(t, argv...)
	}
}

func (b *illumosBackend) unmake(t *testing.T, zone string) {
	t.Helper()
	for _, argv := range [][]string{
		{"zoneadm", "-z", zone, "halt"},
		{"zoneadm", "-z", zone, "uninstall", "-F"},
		{"zonecfg", "-z", zone, "delete", "-F"},
		{"zfs", "destroy", "rpool/zones/" + zone},
	} {
		b.mustRun(t, argv...)
	}
}
