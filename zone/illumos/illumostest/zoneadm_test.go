package illumostest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row is a command on a zone in a state: its exit status, a part of its
// text, and the state it leaves.
func TestZoneadmAnswers(t *testing.T) {
	h := install(t, Options{})
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox0")
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox1")
	for _, v := range []struct {
		state, verb string
		exit        int
		text, after string
	}{
		{"", "boot", 1, "zoneadm: z: No such zone configured", ""},
		{"", "halt", 1, "zoneadm: z: No such zone configured", ""},
		{"", "install", 1, "zoneadm: z: No such zone configured", ""},
		{"", "uninstall -F", 1, "zoneadm: z: No such zone configured", ""},

		{"configured", "boot", 1, "zoneadm: zone 'z': must be installed before boot.", "configured"},
		{"configured", "ready", 1, "must be installed before ready", "configured"},
		{"configured", "halt", 1, "zone 'z': cannot manage a zone which is in state 'configured'", "configured"},
		{"configured", "shutdown", 1, "not running", "configured"},
		{"configured", "uninstall -F", 1, "is already in state 'configured'.", "configured"},
		{"configured", "install IMAGE", 0, "", "installed"},
		{"configured", "install IMAGE OVERLAY", 0, "", "installed"},
		{"configured", "install /nonexistent", 1, "cannot read image", "incomplete"},
		{"configured", "install /a;b", 1, "syntax error", "incomplete"},
		{"configured", "install /" + strings.Repeat("x", 1024), 1, "too long", "configured"},
		{"configured", "verify", 0, "", "configured"},

		{"incomplete", "boot", 1, "must be installed before boot.", "incomplete"},
		{"incomplete", "halt", 1, "halt operation is invalid for zones in state 'incomplete'", "incomplete"},
		{"incomplete", "install IMAGE", 1, "zone is incomplete; uninstall required.", "incomplete"},
		{"incomplete", "uninstall -F", 0, "", "configured"},

		{"installed", "install IMAGE", 1, "is already installed.", "installed"},
		{"installed", "halt", 0, "zone 'z': zone is already halted", "installed"},
		{"installed", "shutdown", 1, "not running", "installed"},
		{"installed", "ready", 0, "", "ready"},
		{"installed", "boot", 0, "", "running"},
		{"installed", "uninstall", 1, "Input not from terminal and -F not specified", "installed"},
		{"installed", "uninstall -F", 0, "", "configured"},
		{"installed", "mark incomplete", 0, "", "incomplete"},
		{"installed", "mark -F configured", 0, "", "configured"},

		{"ready", "ready", 0, "zone is already ready", "ready"},
		{"ready", "boot", 0, "", "running"},
		{"ready", "halt", 0, "", "installed"},
		{"ready", "shutdown", 1, "not running", "ready"},
		{"ready", "uninstall -F", 1, "uninstall operation is invalid for ready zones.", "ready"},

		{"running", "boot", 0, "zone 'z': zone is already booted", "running"},
		{"running", "halt", 0, "", "installed"},
		{"running", "shutdown", 0, "", "installed"},
		{"running", "shutdown -r", 0, "", "running"},
		{"running", "install IMAGE", 1, "install operation is invalid for running zones.", "running"},
		{"running", "uninstall -F", 1, "uninstall operation is invalid for running zones.", "running"},
		{"running", "mark incomplete", 1, "mark operation is invalid for running zones.", "running"},

		{"shutting_down", "boot", 0, "zone is already booted", "shutting_down"},
		{"shutting_down", "halt", 0, "", "installed"},
		{"shutting_down", "uninstall -F", 1, "uninstall operation is invalid for shutting_down zones.", "shutting_down"},
		{"down", "boot", 0, "zone is already booted", "down"},
		{"down", "halt", 0, "", "installed"},
		{"down", "uninstall -F", 1, "uninstall operation is invalid for down zones.", "down"},
		{"down", "install IMAGE", 1, "install operation is invalid for down zones.", "down"},
	} {
		h.t = t
		t.Run(v.state+" "+v.verb[:min(20, len(v.verb))], func(t *testing.T) {
			h.t = t
			h.bring("z", v.state)
			args := strings.NewReplacer("IMAGE", h.Images()[0], "OVERLAY", h.Images()[1]).Replace(v.verb)
			h.want(v.exit, v.text, "zoneadm", append([]string{"-z", "z"}, strings.Fields(args)...)...)
			if got := h.State("z"); got != v.after {
				t.Errorf("the zone is %q now, want %q", got, v.after)
			}
		})
	}
	h.t = t
}

// bring puts a zone into a state, from whatever it was in before.
func (h *Host) bring(zone, state string) {
	h.t.Helper()
	h.Run("zoneadm", "-z", zone, "halt")
	h.Run("zoneadm", "-z", zone, "uninstall", "-F")
	h.Run("zonecfg", "-z", zone, "delete", "-F")
	h.Run("zfs", "destroy", "-r", "rpool/zones/"+zone)
	if state == "" {
		return
	}
	h.configure(zone, "ox0", "ox1")
	switch state {
	case "configured":
		return
	case "incomplete":
		h.want(1, "", "zoneadm", "-z", zone, "install", "/nonexistent")
		return
	}
	h.ok("zoneadm", "-z", zone, "install", h.Images()[0])
	switch state {
	case "installed":
	case "ready":
		h.ok("zoneadm", "-z", zone, "ready")
	case "running":
		h.ok("zoneadm", "-z", zone, "boot")
	default: // zoneadmd fails to tear it down any further
		h.ok("zoneadm", "-z", zone, "boot")
		f := h.Inject(Fault{Do: Fail, When: During, Command: "zoneadmd", Verb: "halt", State: state,
			Text: "unable to destroy zone"})
		h.want(1, "unable to destroy zone", "zoneadm", "-z", zone, "halt")
		f.Release()
	}
	if got := h.State(zone); got != state {
		h.t.Fatalf("the zone is %s, want %s", got, state)
	}
}

func TestZoneadmRefusesNamesAndUsage(t *testing.T) {
	h := install(t, Options{})
	for _, v := range []struct {
		args string
		exit int
		text string
	}{
		{"", 2, "subcommand"},
		{"-z z explode", 2, "unknown subcommand"},
		{"boot", 2, "zone name is needed"},
		{"-z global halt", 1, "global"},
		{"-z SUNWz halt", 1, "not a zone name"},
		{"-z _z halt", 1, "not a zone name"},
		{"-z " + strings.Repeat("z", 64) + " halt", 1, "not a zone name"},
		{"-z " + strings.Repeat("z", 63) + " halt", 1, "No such zone configured"},
		{"list -pv", 2, "exclude"},
		{"-z z list -cp", 2, "allowed with -z"},
		{"-z z list -p", 1, "No such zone configured"},
	} {
		h.want(v.exit, v.text, "zoneadm", strings.Fields(v.args)...)
	}
}

func TestListFormat(t *testing.T) {
	h := install(t, Options{})
	h.configure("a")
	h.ok("zonecfg", "-z", "b", "-f", h.script("create -b\nset brand=lipkg\nset zonepath=/pool:one/b\nset ip-type=shared\n"))
	h.running("c", "ox0")
	out := h.ok("zoneadm", "list", "-cip")
	want := "0:global:running:/::ipkg:shared\n" +
		"1:c:running:" + h.ZoneRoot() + "/c:UUID:omicron1:excl\n" +
		"-:a:configured:" + h.ZoneRoot() + "/a::omicron1:excl\n" +
		"-:b:configured:/pool\\:one/b::lipkg:shared\n"
	uuid := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	if got := uuid.ReplaceAllString(out, "UUID"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := h.ok("zoneadm", "-z", "a", "list", "-p"); !strings.HasPrefix(got, "-:a:configured:") {
		t.Errorf("list of one zone: %q", got)
	}
	if got := h.ok("zoneadm", "list", "-ip"); strings.Contains(got, ":a:") || !strings.Contains(got, ":c:") {
		t.Errorf("list of installed zones: %q", got)
	}
	if got := h.ok("zoneadm", "list", "-cipn"); strings.Contains(got, "global") {
		t.Errorf("list without the global zone: %q", got)
	}
}

func TestListFaults(t *testing.T) {
	h := install(t, Options{DebugID: true})
	h.configure("a")
	line := func() string {
		return strings.TrimSpace(strings.Split(h.ok("zoneadm", "list", "-cip"), "\n")[1])
	}
	if got := line(); !strings.HasSuffix(got, "excl:1") {
		t.Errorf("with a debug id: %q", got)
	}
	h.Inject(Fault{Do: ExtraFields, Object: "a", Times: 1})
	if got := line(); strings.Count(got, ":") != 10 {
		t.Errorf("with extra fields: %q", got)
	}
	h.Inject(Fault{Do: UnknownState, Object: "a", Text: "frozen", Times: 1})
	if got := line(); !strings.Contains(got, ":frozen:") {
		t.Errorf("with an unknown state: %q", got)
	}
	whole := h.ok("zoneadm", "list", "-cip")
	h.Inject(Fault{Do: Truncate, Command: "zoneadm", Verb: "list", Times: 1})
	if got := h.ok("zoneadm", "list", "-cip"); got != whole[:len(whole)/2] {
		t.Errorf("truncated: %q of %q", got, whole)
	}
	h.Inject(Fault{Do: Garbage, Command: "zoneadm", Verb: "list", Text: "garbage", Times: 1})
	if got := h.ok("zoneadm", "list", "-cip"); got != "garbage" {
		t.Errorf("garbage: %q", got)
	}
	if got := h.ok("zoneadm", "list", "-cip"); got != whole {
		t.Errorf("after the faults: %q", got)
	}
}

func TestUUID(t *testing.T) {
	h := install(t, Options{})
	h.bring("z", "configured")
	uuid := func() string { z, _ := h.Zone("z"); return z.UUID }
	if uuid() != "" {
		t.Error("a zone has a uuid before it is installed")
	}
	h.ok("zoneadm", "-z", "z", "install", h.Images()[0])
	if uuid() == "" {
		t.Error("an installed zone has no uuid")
	}
	h.ok("zoneadm", "-z", "z", "uninstall", "-F")
	if uuid() != "" {
		t.Error("a zone keeps its uuid though uninstalled")
	}
}

func TestInstallPaths(t *testing.T) {
	h := install(t, Options{})
	path := filepath.Join(h.ZoneRoot(), "z")
	for _, v := range []struct {
		name, text, after string
		spoil             func() error
	}{
		{"root exists", "already exists", "incomplete", func() error { return os.MkdirAll(path+"/root", 0o700) }},
		{"mode", "0700", "configured", func() error { return os.Mkdir(path, 0o755) }},
		{"a file", "not a directory", "configured", func() error { return os.WriteFile(path, nil, 0o600) }},
		{"parent open", "group or world writable", "configured", func() error { return os.Chmod(h.ZoneRoot(), 0o777) }},
		{"parent absent", "No such file", "configured", func() error { return os.Remove(h.ZoneRoot()) }},
		{"fine", "", "installed", func() error { return nil }},
	} {
		h.bring("z", "")
		if err := os.RemoveAll(h.ZoneRoot()); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(h.ZoneRoot(), 0o755); err != nil {
			t.Fatal(err)
		}
		h.configure("z")
		if err := v.spoil(); err != nil {
			t.Fatal(err)
		}
		exit := 1
		if v.text == "" {
			exit = 0
		}
		h.want(exit, v.text, "zoneadm", "-z", "z", "install", h.Images()[0])
		if got := h.State("z"); got != v.after {
			t.Errorf("%s: %s, want %s", v.name, got, v.after)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the zonepath: %v, %v", info, err)
	}
}

func TestBrandHook(t *testing.T) {
	h := install(t, Options{})
	for exit, after := range map[int]string{254: "configured", 255: "incomplete"} {
		h.bring("z", "configured")
		f := h.Inject(Fault{Do: BrandExit, Object: "z", Exit: exit})
		h.want(1, "", "zoneadm", "-z", "z", "install", h.Images()[0])
		f.Release()
		if got := h.State("z"); got != after {
			t.Errorf("exit %d of the hook leaves the zone %s, want %s", exit, got, after)
		}
	}
}

func TestIDs(t *testing.T) {
	h := install(t, Options{FirstID: 9999})
	var uniq uint64
	for n, want := range []int{9999, 1, 2} {
		h.bring("z", "")
		h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox"+string(rune('0'+n)))
		h.configure("z")
		h.ok("zoneadm", "-z", "z", "install", h.Images()[0])
		h.ok("zoneadm", "-z", "z", "boot")
		z, _ := h.Zone("z")
		if z.ID != want || z.UniqID <= uniq {
			t.Errorf("boot %d has id %d and unique id %d after %d", n, z.ID, z.UniqID, uniq)
		}
		uniq = z.UniqID
	}
}

func TestBootFailsOnLinks(t *testing.T) {
	h := install(t, Options{})
	h.running("a", "ox0")
	for _, links := range [][]string{{"absent0"}, {"underlay0", "underlay0"}, {"ox0"}} {
		h.bring("z", "")
		h.configure("z", links...)
		h.ok("zoneadm", "-z", "z", "install", h.Images()[0])
		h.want(1, "call to zoneadmd failed", "zoneadm", "-z", "z", "boot")
		if got := h.State("z"); got != "installed" {
			t.Errorf("links %v: %s", links, got)
		}
	}
}
