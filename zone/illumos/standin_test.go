package illumos_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

const (
	prefix = "oxz_propolis-server_"
	alice  = prefix + "74f2e1f2-6d2c-4a4e-9f3e-7d2d5a3a9b10"
	bob    = prefix + "0c3f9a4e-7a55-4d3f-8f0e-3f6f9b2f2c11"
)

// quick is a removal with short pauses.
var quick = zone.Removal{RetryMax: 50 * time.Millisecond}

// A sled is a stand-in host and makes managers of its zones.
type sled struct {
	*illumostest.Host
	t     *testing.T
	fresh struct{ links, datasets map[string]bool }
}

func newSled(t *testing.T) *sled {
	t.Helper()
	t.Parallel()
	if os.Getenv("SLOW_TESTS") != "1" {
		t.Skip("runs hundreds of processes")
	}
	s := &sled{Host: illumostest.Install(t, t.TempDir(), illumostest.Options{}), t: t}
	s.fresh.links, s.fresh.datasets = keys(s.Links()), keys(s.Datasets())
	return s
}

func keys[V any](m map[string]V) map[string]bool {
	set := make(map[string]bool)
	for k := range m {
		set[k] = true
	}
	return set
}

// manager returns a manager as a restarted agent has it.
func (s *sled) manager() *illumos.Manager { return s.managerOf(func(*illumos.Config) {}) }

// managerOf returns a manager with a changed configuration.
func (s *sled) managerOf(change func(*illumos.Config)) *illumos.Manager {
	s.t.Helper()
	cfg := illumos.Config{
		CommandPath: s.BinDir(), ZoneRoot: s.ZoneRoot(), Brand: "omicron1", Image: s.Images(), Link: "underlay_stub0",
		Service: illumostest.DefaultService, Prefix: prefix, ZonesDir: s.ZonesDir(), Log: zerolog.New(io.Discard),
	}
	change(&cfg)
	m, err := illumos.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.ReleaseAll()
		s.Close()
		s.Eventually("no command is left behind", func() bool { return m.LeftBehind() == 0 })
		if err := m.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return m
}

func (s *sled) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *sled) spec(name string) zone.Spec {
	s.t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		s.t.Skip("no IPv6 loopback: ", err)
	}
	defer l.Close()
	return zone.Spec{
		Name:    name,
		Addr:    netip.MustParseAddrPort(l.Addr().String()),
		NICs:    []zone.NIC{{ID: "nic", MAC: macOf(name), MTU: 1500}},
		Devices: []string{"/dev/zvol/rdsk/pool/disk/vol"},
	}
}

// macOf returns a MAC address derived from the zone's name.
func macOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("a8:40:25:f0:%x:%x", sum[0], sum[1])
}

// boot creates and boots a zone.
func (s *sled) boot(m *illumos.Manager, name string) error {
	s.t.Helper()
	if _, err := m.Create(s.ctx(), s.spec(name)); err != nil {
		return err
	}
	return m.Boot(s.ctx(), name)
}

func (s *sled) mustBoot(m *illumos.Manager, name string) {
	s.t.Helper()
	if err := s.boot(m, name); err != nil {
		s.t.Fatal(err)
	}
}

// ensureGone removes a zone.
func (s *sled) ensureGone(m *illumos.Manager, name string) {
	s.t.Helper()
	if err := zone.EnsureGone(s.ctx(), m, name, quick); err != nil {
		s.t.Fatal(err)
	}
}

// wantGone removes the last zone and checks that nothing is left.
func (s *sled) wantGone(m *illumos.Manager, name string) {
	s.t.Helper()
	s.ensureGone(m, name)
	s.wantNothing()
}

// wantNothing checks that the host is in its initial state.
func (s *sled) wantNothing() {
	s.t.Helper()
	if zones := s.Zones(); len(zones) > 0 {
		s.t.Errorf("zones are left: %v", keys(zones))
	}
	if diff := cmp.Diff(s.fresh.links, keys(s.Links())); diff != "" {
		s.t.Errorf("datalinks (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(s.fresh.datasets, keys(s.Datasets())); diff != "" {
		s.t.Errorf("datasets (-before +after):\n%s", diff)
	}
	s.Eventually("no process is left", func() bool { return len(s.Processes("")) == 0 })
}

func TestLifecycleOnHost(t *testing.T) {
	s := newSled(t)
	m := s.manager()
	spec := s.spec(alice)
	made, err := m.Create(s.ctx(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if made.Links["nic"] != "oxGuest0" {
		t.Errorf("made %v", made)
	}
	if err := m.Boot(s.ctx(), alice); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the server listens", func() bool {
		c, err := net.Dial("tcp", spec.Addr.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	i, err := m.Look(s.ctx(), alice)
	if err != nil || i.State != zone.Running || !strings.HasPrefix(i.Incarnation, "zid-") {
		t.Errorf("booted: %+v, error %v", i, err)
	}
	z, _ := s.Zone(alice)
	if z.Properties["config/datalink"] != "oxControlInstance0" || z.Properties["config/gateway"] == "" {
		t.Errorf("the service's properties are %v", z.Properties)
	}
	if _, err := m.Tail(s.ctx(), alice, 4096); err != nil {
		t.Error(err)
	}
	s.wantGone(m, alice)
}

// A restarted agent removes a zone in any state.
func TestEnsureGoneOnHost(t *testing.T) {
	for _, test := range []struct {
		state string
		fault illumostest.Fault // before the zone is created and booted
		after []string          // a command after that
	}{
		{state: "configured", fault: illumostest.Fault{Do: illumostest.BrandExit, Exit: 254}},
		{state: "incomplete", fault: illumostest.Fault{Do: illumostest.BrandExit, Exit: 255}},
		{state: "installed", fault: illumostest.Fault{Do: illumostest.Fail, Command: "zoneadm", Verb: "boot"}},
		{state: "ready", fault: illumostest.Fault{Do: illumostest.Fail, Command: "zoneadm", Verb: "boot"},
			after: []string{"zoneadm", "-z", alice, "ready"}},
		{state: "running"},
		{state: "running", fault: illumostest.Fault{Do: illumostest.Maintenance}},
	} {
		t.Run(test.state+test.fault.Do, func(t *testing.T) {
			s := newSled(t)
			if test.fault.Do != "" {
				s.Inject(test.fault)
			}
			err := s.boot(s.manager(), alice)
			if (err == nil) != (test.fault.Do == "") {
				t.Fatalf("with fault %q: %v", test.fault.Do, err)
			}
			s.ReleaseAll()
			if len(test.after) > 0 {
				_ = s.Command(test.after[0], test.after[1:]...).Run()
			}
			if got := s.State(alice); got != test.state {
				t.Fatalf("the zone is %q, want %q", got, test.state)
			}
			s.wantGone(s.manager(), alice)
		})
	}
}

// impatient is a removal that waits only briefly for a halt.
type impatient struct{ *illumos.Manager }

func (m impatient) Remove(ctx context.Context, rung zone.Rung, name string) error {
	if rung == zone.RungHalt {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
	}
	return m.Manager.Remove(ctx, rung, name)
}

// A stuck zone is removed once the fault ends, and does not block other zones.
func TestStuckZone(t *testing.T) {
	for _, state := range []string{"shutting_down", "down"} {
		t.Run(state, func(t *testing.T) {
			s := newSled(t)
			m := s.manager()
			s.mustBoot(m, alice)
			stuck := s.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: alice, State: state})
			removed := make(chan error, 1)
			go func() { removed <- zone.EnsureGone(s.ctx(), impatient{m}, alice, quick) }()
			s.Eventually("it is stuck", func() bool { return s.State(alice) == state })
			s.mustBoot(m, bob)
			s.ensureGone(m, bob)
			select {
			case err := <-removed:
				t.Fatalf("the removal of a stuck zone returned %v", err)
			default:
			}
			s.Eventually("halts are left behind", func() bool { return m.LeftBehind() == 2 })
			stuck.Release()
			if err := <-removed; err != nil {
				t.Fatal(err)
			}
			s.wantNothing()
		})
	}
}

// Each command may be killed before, during or after its work: the removal by a
// restarted agent leaves nothing.
func TestCommandsDie(t *testing.T) {
	for _, at := range []string{
		"before zonecfg -f", "during zonecfg -f", "after zonecfg -f",
		"before dladm create-vnic", "after dladm create-vnic",
		"during zoneadm install", "after zoneadm install",
		"before zoneadm boot", "during zoneadmd boot", "after zoneadmd boot",
		"during zoneadmd halt", "after zoneadm halt",
		"during zoneadm uninstall", "after zoneadm uninstall",
		"after zonecfg export", "after dladm delete-vnic", "before zonecfg delete", "during zonecfg delete", "after zonecfg delete",
		"before zfs destroy", "during zoneadm list",
	} {
		t.Run(at, func(t *testing.T) {
			s := newSled(t)
			where := strings.Fields(at)
			death := s.Inject(illumostest.Fault{Do: illumostest.Die, When: where[0], Command: where[1], Verb: where[2], Times: 1})
			// The fault may strike here or in the removal.
			_ = s.boot(s.manager(), alice)
			s.ensureGone(s.manager(), alice)
			if death.Struck() != 1 {
				t.Error("no command has died")
			}
			s.wantNothing()
		})
	}
}

// Many zones are created and removed concurrently.
func TestManyZones(t *testing.T) {
	s := newSled(t)
	m := s.manager()
	const zones = 8
	done := make(chan error, zones)
	for i := range zones {
		go func() {
			name := fmt.Sprintf("%s%d", prefix, i)
			if err := s.boot(m, name); err != nil {
				done <- fmt.Errorf("boot %s: %w", name, err)
				return
			}
			done <- zone.EnsureGone(s.ctx(), m, name, quick)
		}()
	}
	for range zones {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.wantNothing()
}
