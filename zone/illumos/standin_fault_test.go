package illumos_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// A running zone that the list omits is not reported as absent or ended, with or
// without access to the host's configurations.
func TestOmittedZone(t *testing.T) {
	for how, said := range map[string]string{"silently": "", "with a line": "zoneadm: zone '" + alice + "': could not get zone path"} {
		t.Run(how, func(t *testing.T) { testOmittedZone(newSled(t), said) })
	}
}

func testOmittedZone(s *sled, said string) {
	seeing := s.manager()
	blind := s.managerOf(func(c *illumos.Config) { c.ZonesDir = "/nonexistent" })
	s.mustBoot(seeing, alice)
	omitted := s.Inject(illumostest.Fault{Do: illumostest.Omit, Object: alice, Text: said})
	for _, m := range []*illumos.Manager{seeing, blind} {
		if i, err := m.Look(s.ctx(), alice); err == nil {
			s.t.Errorf("it is reported as %v", i.State)
		}
	}
	omitted.Release()
	s.ensureGone(seeing, alice)
	if i, err := blind.Look(s.ctx(), alice); err != nil || i.State != zone.Absent {
		s.t.Errorf("removed, it is %v, error %v", i.State, err)
	}
	s.wantNothing()
}

// The error for a NIC that the host refuses explains what to do.
func TestRefusedNICs(t *testing.T) {
	s := newSled(t)
	m := s.manager()
	s.mustBoot(m, alice)
	for name, test := range map[string]struct {
		nic  zone.NIC
		want string
	}{
		"twice":     {zone.NIC{ID: "n", MAC: strings.ToUpper(macOf(alice))}, "another VNIC over underlay_stub0 has the MAC address"},
		"multicast": {zone.NIC{ID: "n", MAC: "a9:40:25:f0:0:1"}, "invalid MAC address"},
		"mtu":       {zone.NIC{ID: "n", MAC: macOf(bob), MTU: 9216}, "cannot set link property 'mtu'"},
	} {
		spec := s.spec(bob)
		spec.NICs = []zone.NIC{test.nic}
		if _, err := m.Create(s.ctx(), spec); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q in it", name, err, test.want)
		}
		s.ensureGone(m, bob)
	}
	over := s.managerOf(func(c *illumos.Config) { c.Link = "underlay0" })
	if _, err := over.Create(s.ctx(), s.spec(bob)); err == nil || !strings.Contains(err.Error(), "underlay0") {
		t.Errorf("a VNIC over a VNIC: got error %v", err)
	}
	if err := errors.Join(zone.EnsureGone(s.ctx(), over, bob, quick), zone.EnsureGone(s.ctx(), m, alice, quick)); err != nil {
		t.Fatal(err)
	}
	s.wantNothing()
}

// A full /var makes every hook of the brand fail, including halt. The error gives
// the reason, and the zone is removed when there is space again.
func TestFullVar(t *testing.T) {
	s := newSled(t)
	m := s.manager()
	full := s.Inject(illumostest.Fault{Do: illumostest.VarFull})
	if err := s.boot(m, bob); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("got error %v", err)
	}
	full.Release()
	s.mustBoot(m, alice)
	full = s.Inject(illumostest.Fault{Do: illumostest.VarFull})
	said := make(chan error, 1000)
	removal := quick
	removal.Observe = func(r zone.Report) {
		if r.Err != nil && r.Rung == zone.RungHalt {
			said <- r.Err
		}
	}
	removed := make(chan error, 1)
	go func() { removed <- zone.EnsureGone(s.ctx(), m, alice, removal) }()
	if err := <-said; !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("halt: %v", err)
	}
	s.Eventually("it is down", func() bool { return s.State(alice) == "down" })
	full.Release()
	if err := errors.Join(<-removed, zone.EnsureGone(s.ctx(), m, bob, quick)); err != nil {
		t.Fatal(err)
	}
	s.wantNothing()
}

// While dlmgmtd is not available, every link seems absent. The removal does not end
// until they are really removed.
func TestRemovalWithoutDlmgmtd(t *testing.T) {
	s := newSled(t)
	m := s.manager()
	s.mustBoot(m, alice)
	away := s.Inject(illumostest.Fault{Do: illumostest.LinksAway})
	if _, err := m.Create(s.ctx(), s.spec(bob)); err == nil {
		t.Error("a zone was created")
	}
	removed := make(chan error, 1)
	go func() { removed <- zone.EnsureGone(s.ctx(), m, alice, quick) }()
	away.WaitStruck(12)
	if s.State(alice) != "configured" {
		t.Errorf("the zone is %q while its links exist", s.State(alice))
	}
	away.Release()
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	s.wantNothing()
}
