package standin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// built is the program, without the race detector, which slows down each exit of a
// process.
var built string

func TestMain(m *testing.M) {
	dir := must(os.MkdirTemp("", "standin-test-"))
	built = filepath.Join(dir, program)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", built, "../../cmd/"+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	exit := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(exit)
}

// A tester is the host of one test.
type tester struct {
	*Host
	t *testing.T
}

func install(t *testing.T, server ...string) *tester {
	t.Helper()
	t.Parallel()
	h, err := Make(t.TempDir(), Options{Server: server}, func(path string) error { return os.Link(built, path) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &tester{h, t}
}

// waitLimit bounds waits for events that happen soon unless something is broken.
const waitLimit = 30 * time.Second

func (h *tester) eventually(what string, is func() bool) {
	h.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(waitLimit); !is(); <-tick.C {
		if time.Now().After(deadline) {
			h.t.Fatalf("timed out after %v waiting for: %s", waitLimit, what)
		}
	}
}

// run runs a command line of words separated by spaces; the text after an apostrophe
// is one word. It returns the exit status and both streams. It starts a process only
// for commands that need one.
func (h *tester) run(line string) (exit int, printed string) {
	h.t.Helper()
	line, last, quoted := strings.Cut(line, "'")
	words := strings.Fields(line)
	if quoted {
		words = append(words, last)
	}
	if words[0] != "zoneadm" || words[1] == "list" {
		c := &call{host: &host{h.Store, h.Program()}, name: words[0], args: words[1:]}
		c.target()
		exit := c.perform(commands()[c.name])
		c.corrupt()
		return exit, c.out.String() + c.err.String()
	}
	cmd := h.command(words...)
	text, _ := cmd.CombinedOutput() // the exit status is checked by the caller
	return cmd.ProcessState.ExitCode(), string(text)
}

func (h *tester) command(words ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), filepath.Join(h.BinDir(), words[0]), words[1:]...)
	cmd.Env = []string{}
	return cmd
}

// begin starts a command in the background.
func (h *tester) begin(line string) *exec.Cmd {
	h.t.Helper()
	cmd := h.command(strings.Fields(line)...)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return cmd
}

// want runs a command and checks its exit status and that its output contains text.
func (h *tester) want(exit int, text, line string) (printed string) {
	h.t.Helper()
	line = strings.NewReplacer("IMAGE", h.Images()[0], "HEAD", strings.TrimSuffix(h.script("z"), ";")).Replace(line)
	got, printed := h.run(line)
	if got != exit || !strings.Contains(printed, text) {
		h.t.Errorf("%s: exit %d, printed %q; want exit %d and %q", line, got, printed, exit, text)
	}
	return printed
}

func (h *tester) ok(line string) (printed string) {
	h.t.Helper()
	return h.want(0, "", line)
}

// A line is a command line and its expected result.
type line struct {
	line string
	exit int
	text string
}

func (h *tester) answers(lines []line) {
	h.t.Helper()
	for _, l := range lines {
		h.want(l.exit, l.text, l.line)
	}
}

func (h *tester) state() string {
	z, _ := h.Zones.Get("z")
	return z.State
}

func (h *tester) wantState(want string) {
	h.t.Helper()
	if got := h.state(); got != want {
		h.t.Errorf("the zone is %q, want %q", got, want)
	}
}

// awaitStrike waits until a fault has struck.
func (h *tester) awaitStrike(id string) {
	h.t.Helper()
	h.eventually("fault "+id+" strikes", func() bool {
		return slices.ContainsFunc(h.Faults(), func(f Fault) bool { return f.ID == id && f.Struck > 0 })
	})
}

// script returns the start of a zone's configuration, with the links.
func (h *tester) script(zone string, links ...string) string {
	script := "create -b;set brand=omicron1;set zonepath=" + filepath.Join(h.ZoneRoot(), zone) + ";set ip-type=exclusive;"
	for _, link := range links {
		script += "add net;set physical=" + link + ";end;"
	}
	return script
}

// put creates a zone in a state, with the link ox0.
func (h *tester) put(zone, state string) {
	h.t.Helper()
	_ = os.RemoveAll(filepath.Join(h.ZoneRoot(), zone))
	h.Locked(func() { _, _ = os.Remove(h.Zones.file(zone)), os.Remove(h.configFile(zone)) })
	if state == "" {
		return
	}
	h.run("dladm create-vnic -t -l underlay_stub0 ox0")
	h.ok("zonecfg -z " + zone + " '" + h.script(zone, "ox0"))
	if state == Configured || state == Incomplete {
		h.Change(zone, func(z *Zone) { z.State = state })
		return
	}
	z, _ := h.Zones.Get(zone)
	check(os.MkdirAll(filepath.Join(z.Config.root(), profileDir), 0o700))
	check(os.MkdirAll(filepath.Join(z.Config.root(), filepath.Dir(serviceLog)), 0o700))
	check(os.WriteFile(filepath.Join(z.Config.root(), profileDir, "site.xml"), []byte(goodProfile), 0o600))
	h.Change(zone, func(z *Zone) {
		if z.State = state; z.Active() {
			z.ID, z.Links = 7, z.Config.Links()
		}
	})
}

// goodProfile is a valid profile for the zone's server.
const goodProfile = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">
<service_bundle type="profile" name="omicron"><service name="system/illumos/propolis-server" type="service" version="1">
<instance name="default" enabled="true"><property_group name="config" type="application">
  <propval name="datalink" type="astring" value="ox0"/>
  <propval name="gateway" type="astring" value="fd00::1"/>
  <propval name="listen_addr" type="astring" value="127.0.0.1"/>
  <propval name="listen_port" type="astring" value="12400"/>
</property_group></instance></service></service_bundle>`

// online waits until the zone's server is online.
func (h *tester) online(zone string) {
	h.t.Helper()
	h.eventually(zone+" is online", func() bool { z, _ := h.Zones.Get(zone); return z.Service.State == "online" })
}

func kill(cmd *exec.Cmd) {
	check(cmd.Process.Kill())
	_ = cmd.Wait() // fails since it was killed
}
