package illumos

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/internal/golden"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// The commands of a zone's whole lifecycle, in order, with their input.
func TestLifecycleCommands(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	h := newScripted(t)
	m := h.manager()
	made, err := m.Create(t.Context(), testSpec())
	if err != nil {
		t.Fatal(err)
	}
	want := zone.Made{Links: map[string]string{"nic-b": "oxGuest0", "nic-a": "oxGuest1"},
		Datalinks: []string{"oxControlInstance0", "oxGuest0", "oxGuest1"}, Path: h.path("bin/root/" + testZone)}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	mark := regexp.MustCompile(`value=[-0-9a-f]{36}\nend\n$`)
	golden.Check(t, "zonecfg.golden", mark.ReplaceAllString(replaceRoot(h, h.read("configs/"+testZone+".xml")), "value=MARK\nend\n"))
	golden.Check(t, "site.xml.golden", h.read("root/"+testZone+"/root/var/svc/profile/site.xml"))
	if err := m.Boot(t.Context(), testZone); err != nil {
		t.Fatal(err)
	}
	i, err := m.Look(t.Context(), testZone)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(zone.Info{Name: testZone, State: zone.Running, Incarnation: "zid-7"}, i); diff != "" {
		t.Errorf("booted (-want +got):\n%s", diff)
	}
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "commands.golden", h.log())
	if h.has("root/" + testZone) {
		t.Error("the zonepath is left")
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, error %v", left, err)
	}
}

// All zones are listed at once: listing a single zone would run its brand's check of
// the configuration.
func TestListArguments(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zoneadm-list", `echo "$*" >>"$dir/lists"; ordinary`)
	_, createErr := m.Create(bounded(t), testSpec())
	bootErr := m.Boot(bounded(t), testZone)
	_, listErr := m.List(bounded(t))
	_, lookErr := m.Look(bounded(t), testZone)
	goneErr := zone.EnsureGone(bounded(t), m, testZone, quick)
	if err := errors.Join(createErr, bootErr, listErr, lookErr, goneErr); err != nil {
		t.Fatal(err)
	}
	if rest := strings.ReplaceAll(h.read("lists"), "list -cip\n", ""); rest != "" {
		t.Errorf("also listed by: %s", rest)
	}
}

func replaceRoot(h *scripted, text string) string {
	return strings.ReplaceAll(text, h.path("bin/root"), "ZONEROOT")
}

// quick is a removal with short pauses.
var quick = zone.Removal{RetryMax: 20 * time.Millisecond}

// A removal succeeds from every state, and leaves no link and no directory.
func TestEnsureGoneFromEveryState(t *testing.T) {
	t.Parallel()
	for _, s := range zonetest.States() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			if s != zone.Absent {
				h.create(m)
			}
			h.setState(testZone, s)
			h.wantGone(h.manager())
		})
	}
}

// wantNothing checks that nothing is left of any zone.
func (h *scripted) wantNothing() {
	h.t.Helper()
	for _, dir := range []string{"zones", "configs", "root", "links"} {
		entries, err := os.ReadDir(h.path("bin/" + dir))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "underlay0" && e.Name() != "index" {
				h.t.Errorf("%s/%s is left", dir, e.Name())
			}
		}
	}
}

// The agent changes only its own zones, whatever the caller requests.
func TestOtherZonesAreNotChanged(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	for _, name := range []string{"global", "oxz_crucible", "", "a b", "-z", testPrefix, "../etc",
		testPrefix + strings.Repeat("x", zone.MaxName)} {
		h.on("pkill-run", "touch $dir/killed")
		_, createErr := m.Create(t.Context(), zone.Spec{Name: name})
		for verb, err := range map[string]error{
			"create":    createErr,
			"boot":      m.Boot(t.Context(), name),
			"kill":      m.Remove(t.Context(), zone.RungKill, name),
			"halt":      m.Remove(t.Context(), zone.RungHalt, name),
			"uninstall": m.Remove(t.Context(), zone.RungUninstall, name),
			"delete":    m.Remove(t.Context(), zone.RungDelete, name),
			"release":   m.Remove(t.Context(), zone.RungRelease, name),
		} {
			if err == nil {
				t.Errorf("%s of zone %q succeeded", verb, name)
			}
		}
	}
	if log := h.log(); log != "" || h.has("killed") {
		t.Errorf("commands were run: %s", log)
	}
	h.setState("oxz_crucible", zone.Running)
	h.setState(testZone, zone.Running)
	infos, err := m.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]zone.Info{{Name: testZone, State: zone.Running, Incarnation: "zid-7"}}, infos); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestNewRejectsConfig(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	for name, spoil := range map[string]func(*Config){
		"no commands":    func(c *Config) { c.CommandPath = t.TempDir() },
		"relative root":  func(c *Config) { c.ZoneRoot = "zones" },
		"shell in image": func(c *Config) { c.Image = []string{"/a;reboot"} },
		"space in image": func(c *Config) { c.Image = []string{"/a b"} },
		"relative image": func(c *Config) { c.Image = []string{"a.tar.gz"} },
		"long image":     func(c *Config) { c.Image = []string{"/" + strings.Repeat("a", 400), "/" + strings.Repeat("b", 400)} },
		"no path":        func(c *Config) { c.Image = []string{"-s"} },
		"long option":    func(c *Config) { c.Image = []string{"-seed", "/a"} },
		"no image":       func(c *Config) { c.Image = nil },
		"no brand":       func(c *Config) { c.Brand = "" },
		"no link":        func(c *Config) { c.Link = "" },
		"no prefix":      func(c *Config) { c.Prefix = "" },
		"bad prefix":     func(c *Config) { c.Prefix = "_vm_" },
		"reserved names": func(c *Config) { c.Prefix = "SUNW_" },
		"long prefix":    func(c *Config) { c.Prefix = strings.Repeat("x", zone.MaxName-35) },
		"space in link":  func(c *Config) { c.Link = "net 0" },
		"comma in brand": func(c *Config) { c.Brand = "a,b" },
		"equals in link": func(c *Config) { c.Link = "a=b" },
		"quote in brand": func(c *Config) { c.Brand = `a"b` },
		"line in root":   func(c *Config) { c.ZoneRoot = "/zones\nset brand=x" },
		"bad service":    func(c *Config) { c.Service = "propolis-server" },
	} {
		cfg := h.config()
		spoil(&cfg)
		if m, err := New(cfg); err == nil {
			t.Errorf("%s: New succeeded", name)
			_ = m.Close()
		}
	}
}

func TestCreateExistingZone(t *testing.T) {
	t.Parallel()
	for _, s := range zonetest.States() {
		if s == zone.Absent {
			continue
		}
		h := newScripted(t)
		h.setState(testZone, s)
		if _, err := h.manager().Create(t.Context(), testSpec()); !errors.Is(err, zone.ErrExists) {
			t.Errorf("%v: got error %v, want that the zone exists", s, err)
		}
		h.wantNothingRun(s)
	}
}
