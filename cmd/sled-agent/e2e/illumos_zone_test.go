package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A VMM that runs has a zone that runs, with datalinks for its server and its guest.
func TestZoneOfAVMM(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	v := l.launch()
	z, _ := g.Zone(v.zone())
	if z.State != "running" || z.ServerPID == 0 {
		t.Errorf("the VMM runs and its zone is %s, with server %d", z.State, z.ServerPID)
	}
	for _, link := range z.Config.Links() {
		if !slices.Contains(names(g.Links()), link) {
			t.Errorf("the zone has no datalink %s", link)
		}
	}
	if n := len(z.Config.Links()); n != 2 {
		t.Errorf("the zone has %d datalinks, want those of its server and its guest", n)
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A zone of the prefix that is no VMM's stays, unless the file says otherwise.
func TestOrphans(t *testing.T) {
	t.Parallel()
	for name, zones := range map[string]section{"kept": nil, "removed": {"orphans": "remove"}} {
		t.Run(name, func(t *testing.T) {
			l, g := newIllumosSled(t, setup{zones: zones})
			zone := zonePrefix + uuid.NewString()
			l.past.stop()
			l.terminate()
			g.make(t, zone)
			l.start()
			trial.Until(t, trial.Patience, func() string {
				if !strings.Contains(l.said(), "zone belongs to no VMM") {
					return "the orphan was not noticed"
				}
				return ""
			})
			if name == "removed" {
				g.reaches(t, zone, "")
				return
			}
			t.Cleanup(func() { g.unmake(t, zone) })
			v := l.launch()
			v.stop(time.Minute)
			v.endsDestroyed()
			if got := g.State(zone); got != "running" {
				t.Errorf("the orphan is %q", got)
			}
		})
	}
}

// reaches waits until the zone is in a state.
func (g *illumosGround) reaches(t *testing.T, zone, state string) {
	t.Helper()
	trial.Until(t, trial.Patience, func() string {
		if got := g.State(zone); got != state {
			return "the zone is " + got
		}
		return ""
	})
}

// make makes a zone and boots it, as somebody else would.
func (g *illumosGround) make(t *testing.T, zone string) {
	t.Helper()
	for _, argv := range [][]string{
		{"zonecfg", "-z", zone, "create -b; set brand=omicron1; set ip-type=exclusive; set zonepath=" + g.ZoneRoot() + "/" + zone},
		{"zoneadm", "-z", zone, "install", g.Images()[0]},
		{"zoneadm", "-z", zone, "boot"},
	} {
		g.mustRun(t, argv...)
	}
}

func (g *illumosGround) unmake(t *testing.T, zone string) {
	t.Helper()
	for _, argv := range [][]string{
		{"zoneadm", "-z", zone, "halt"},
		{"zoneadm", "-z", zone, "uninstall", "-F"},
		{"zonecfg", "-z", zone, "delete", "-F"},
		{"zfs", "destroy", "rpool/zones/" + zone},
	} {
		g.mustRun(t, argv...)
	}
}
