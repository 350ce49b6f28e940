package illumos

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

// testZone is the zone of most tests.
const (
	testPrefix = "oxz_propolis-server_"
	testZone   = testPrefix + "74f2e1f2-6d2c-4a4e-9f3e-7d2d5a3a9b10"
)

// scripted is a host in a directory whose commands are the functions of
// testdata/host.sh, unless a test replaces them. Its commands return at once and
// check nothing; illumostest has a realistic host.
type scripted struct {
	t   *testing.T
	dir string
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	h := &scripted{t: t, dir: t.TempDir()}
	for _, sub := range []string{"bin", "bin/zones", "bin/on", "bin/configs", "bin/links", "bin/root"} {
		if err := os.Mkdir(h.path(sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	stub, err := filepath.Abs("testdata/stub")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/host.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(requiredCommands, optionalCommands...) {
		if err := os.Symlink(stub, h.path("bin/"+name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(script, h.path("bin/"+name+".sh")); err != nil {
			t.Fatal(err)
		}
	}
	h.write("links/underlay0", "underlay_stub0\n")
	h.write("configs/index", "global:installed:/\n")
	return h
}

func (h *scripted) path(name string) string { return filepath.Join(h.dir, name) }

// write writes a file of the host.
func (h *scripted) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path("bin/"+name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *scripted) remove(name string) {
	h.t.Helper()
	if err := os.Remove(h.path("bin/" + name)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *scripted) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(h.path("bin/" + name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(text)
}

func (h *scripted) has(name string) bool {
	_, err := os.Lstat(h.path("bin/" + name))
	return err == nil
}

// count returns the number of files of the host whose names match a pattern.
func (h *scripted) count(pattern string) int {
	names, err := filepath.Glob(h.path("bin/" + pattern))
	if err != nil {
		h.t.Fatal(err)
	}
	return len(names)
}

// on replaces the script of a command and verb; an empty script restores the
// default. In a script, "ordinary" runs the default.
func (h *scripted) on(command, script string) {
	h.t.Helper()
	if script == "" {
		_ = os.Remove(h.path("bin/on/" + command))
		return
	}
	h.write("on/"+command, script)
}

// setState makes zoneadm list print a zone in a state, with an id if it is active.
func (h *scripted) setState(name string, s zone.State) {
	h.t.Helper()
	if s == zone.Absent {
		_ = os.Remove(h.path("bin/zones/" + name))
		return
	}
	id := "-"
	if active(s) {
		id = "7"
	}
	h.write("zones/"+name, strings.Join([]string{id, name, s.String(), h.path("bin/root/" + name), "", "omicron1", "excl"}, ":")+"\n")
}

// log returns the commands that changed something, without parts that differ
// between runs.
func (h *scripted) log() string {
	text := strings.ReplaceAll(h.read("log"), h.path("bin"), "")
	for {
		before, after, found := strings.Cut(text, os.TempDir()+"/sled-agent-zonecfg-")
		if !found {
			return text
		}
		_, after, _ = strings.Cut(after, "/")
		text = before + "TMP/" + after
	}
}

func (h *scripted) config() Config {
	return Config{
		CommandPath: h.path("bin"),
		ZoneRoot:    h.path("bin/root"),
		Brand:       "omicron1",
		Image:       []string{"/opt/oxide/propolis-server.tar.gz", "/opt/oxide/overlay.tar.gz"},
		Link:        "underlay_stub0",
		Service:     "svc:/system/illumos/propolis-server:default",
		Prefix:      testPrefix,
		ZonesDir:    h.path("bin/configs"),
		Log:         zerolog.New(zerolog.NewTestWriter(h.t)).Level(zerolog.InfoLevel),
	}
}

func (h *scripted) manager() *Manager { return h.managerOf(h.config()) }

func (h *scripted) managerOf(cfg Config) *Manager {
	h.t.Helper()
	m, err := New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		h.await("commands that were left behind", func() bool { return m.LeftBehind() == 0 })
		if err := m.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return m
}

// create creates the zone of most tests.
func create(t *testing.T, m *Manager) error {
	_, err := m.Create(bounded(t), testSpec())
	return err
}

func createAndBoot(t *testing.T, m *Manager) error {
	if err := create(t, m); err != nil {
		return err
	}
	return m.Boot(bounded(t), testZone)
}

// begin calls a function in the background and returns where its error comes.
func begin(call func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	return ended
}

func (h *scripted) create(m *Manager) {
	h.t.Helper()
	if err := create(h.t, m); err != nil {
		h.t.Fatal(err)
	}
}

// step performs one step of its removal.
func (h *scripted) step(m *Manager, rung zone.Rung) {
	h.t.Helper()
	if err := m.Remove(bounded(h.t), rung, testZone); err != nil {
		h.t.Error(err)
	}
}

// wantGone removes it and checks that nothing is left.
func (h *scripted) wantGone(m *Manager) {
	h.t.Helper()
	if err := zone.EnsureGone(bounded(h.t), m, testZone, quick); err != nil {
		h.t.Error(err)
	}
	h.wantNothing()
}

// wantNothingRun fails the test if a command was run in the case of.
func (h *scripted) wantNothingRun(of any) {
	h.t.Helper()
	if log := h.log(); log != "" {
		h.t.Errorf("%v: commands were run: %s", of, log)
	}
}

// await polls until a condition holds.
func (h *scripted) await(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) { // sleep: a pause between polls
		if time.Now().After(end) {
			h.t.Fatal("timed out waiting for " + what)
		}
	}
}

func testSpec() zone.Spec {
	return zone.Spec{
		Name: testZone,
		Addr: netip.MustParseAddrPort("[fd00:1122:3344:101::c]:12400"),
		NICs: []zone.NIC{{ID: "nic-b", MAC: "a8:40:25:f0:0:1", MTU: 1500}, {ID: "nic-a", MAC: "a8:40:25:f0:0:2"}},
		Devices: []string{
			"/dev/zvol/rdsk/oxp_9d2c/local_storage_unencrypted/4a1b/vol",
		},
	}
}
