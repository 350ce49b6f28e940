package standin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each row is a command on a zone in a state, with its exit status, a part of its
// output and the resulting state.
func TestZoneadmByState(t *testing.T) {
	h := install(t, "/bin/sleep", "1000")
	for _, v := range []struct {
		state, verb string
		exit        int
		text, after string
	}{
		{"", "boot", 1, "zoneadm: z: No such zone configured", ""},
		{"", "halt", 1, "zoneadm: z: No such zone configured", ""},
		{"", "uninstall -F", 1, "zoneadm: z: No such zone configured", ""},

		{Configured, "boot", 1, "zoneadm: zone 'z': must be installed before boot.", Configured},
		{Configured, "halt", 1, "zone 'z': cannot manage a zone which is in state 'configured'", Configured},
		{Configured, "uninstall -F", 1, "is already in state 'configured'", Configured},
		{Configured, "install IMAGE", 0, "", Installed},
		{Configured, "install /nonexistent", 1, "cannot read image", Incomplete},
		{Configured, "install nonexistent", 1, "cannot read image", Incomplete},
		{Configured, "install /a;b", 1, "syntax error", Incomplete},
		{Configured, "install /" + strings.Repeat("x", 1024), 1, "too long", Configured},

		{Incomplete, "boot", 1, "must be installed before boot.", Incomplete},
		{Incomplete, "halt", 1, "halt operation is invalid for zones in state 'incomplete'", Incomplete},
		{Incomplete, "install IMAGE", 1, "is already in state 'incomplete'", Incomplete},
		{Incomplete, "uninstall -F", 0, "", Configured},

		{Installed, "install IMAGE", 1, "is already in state 'installed'", Installed},
		{Installed, "halt", 0, "zone 'z': zone is already halted", Installed},
		{Installed, "ready", 0, "", Ready},
		{Installed, "boot", 0, "", Running},
		{Installed, "uninstall", 1, "Input not from terminal and -F not specified", Installed},
		{Installed, "uninstall -F", 0, "", Configured},

		{Ready, "boot", 0, "", Running},
		{Ready, "halt", 0, "", Installed},
		{Ready, "uninstall -F", 1, "uninstall operation is invalid for ready zones.", Ready},
		{Running, "boot", 0, "zone 'z': zone is already booted", Running},
		{Running, "halt", 0, "", Installed},
		{Running, "uninstall -F", 1, "uninstall operation is invalid for running zones.", Running},
		{ShuttingDown, "boot", 0, "zone is already booted", ShuttingDown},
		{ShuttingDown, "halt", 0, "", Installed},
		{Down, "boot", 0, "zone is already booted", Down},
		{Down, "halt", 0, "", Installed},
		{Down, "install IMAGE", 1, "install operation is invalid for down zones.", Down},
	} {
		h.put("z", v.state)
		h.want(v.exit, v.text, "zoneadm -z z "+v.verb)
		if got := h.state(); got != v.after {
			t.Errorf("%s of a zone that was %q leaves it %q, want %q", v.verb, v.state, got, v.after)
		}
		h.run("zoneadm -z z halt")
	}
	h.answers([]line{
		{"zoneadm -z z explode", 2, "usage"},
		{"zoneadm boot", 2, "usage"},
		{"zoneadm -z SUNWz halt", 1, "not a zone name"},
		{"zoneadm -z _z halt", 1, "not a zone name"},
		{"zoneadm -z " + strings.Repeat("z", 64) + " halt", 1, "not a zone name"},
		{"zoneadm -z " + strings.Repeat("z", 63) + " halt", 1, "No such zone configured"},
	})
}

// A list has active zones first, and omits zones that cannot be read.
func TestList(t *testing.T) {
	h := install(t)
	h.put("a", Configured)
	h.put("b", Running)
	h.Change("a", func(z *Zone) { z.Config.Globals.Props = []Prop{{"zonepath", "/zones/a:b"}, {"brand", "lx"}} })
	head := "0:global:running:/::ipkg:shared\n"
	b := "7:b:running:" + h.ZoneRoot() + "/b::omicron1:excl"
	a := `-:a:configured:/zones/a\:b::lx:shared`
	for _, v := range []struct {
		fault Fault
		want  string
	}{
		{Fault{}, head + b + "\n" + a + "\n"},
		{Fault{Do: Omit, Object: "b"}, head + a + "\n"},
		{Fault{Do: Omit, Object: "a", Text: "zoneadm: zone 'a': could not get zone path"},
			head + b + "\nzoneadm: zone 'a': could not get zone path\n"},
		{Fault{Do: Garbage, Command: "zoneadm", Verb: "list", Text: "garbage"}, "garbage"},
		{Fault{Do: Truncate, Command: "zoneadm"}, (head + b + a)[:(len(head+b+a)+2)/2]},
	} {
		id := h.Inject(v.fault)
		if exit, got := h.run("zoneadm list -cip"); exit != 0 || got != v.want {
			t.Errorf("%s: exit %d, printed\n%swant\n%s", v.fault.Do, exit, got, v.want)
		}
		h.Release(id)
	}
	index, err := os.ReadFile(filepath.Join(h.ZonesDir(), "index"))
	if err != nil || !strings.Contains(string(index), "a:configured:") {
		t.Errorf("the index is %q, error %v", index, err)
	}
}
