package standin

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// file writes a script to a file, one command per line.
func (h *tester) file(script string) string {
	path := filepath.Join(h.t.TempDir(), "script")
	check(os.WriteFile(path, []byte(strings.ReplaceAll(script, ";", "\n")), 0o600))
	return path
}

// Each row is a script with its exit status and a part of its output. A script in
// arguments runs to its end and is saved; one in a file ends at the first error, and
// nothing is saved.
func TestZonecfg(t *testing.T) {
	h := install(t)
	head := h.script("z")
	attr := func(name, value string) string {
		return head + "add attr;set name=" + name + ";set type=string;set value=" + value + ";end"
	}
	net, device := "add net;set physical=net0;end;", "add device;set match=/dev/a;end;"
	for _, v := range []struct {
		script                string
		exit                  int
		text                  string
		wordsSaved, fileSaved bool
	}{
		{head, 0, "", true, true},
		{head + net + device, 0, "", true, true},
		{attr("a.b-c", "a,b"), 0, "", true, true},
		{"set brand=omicron1", 1, "z: No such zone configured", false, false},
		{head + "explode", 1, "syntax error", true, false},
		{head + "set colour=red", 1, "not known", true, false},
		{head + "set autoboot=maybe", 1, "autoboot", true, false},
		{strings.Replace(head, "omicron1", "omicron2", 1), 1, "omicron2: unknown brand.", false, false},
		{"create -b;set brand=omicron1", 1, "zonepath cannot be empty", false, false},
		{head + "add device;end", 1, "Resource incomplete.", true, false},
		{head + "add device;set match=/dev/a", 1, "Resource incomplete.", true, true},
		{head + "add net;set physical=net0;set address=::1;end", 1, "not known", true, false},
		{head + net + net, 1, "A net resource with the physical 'net0' already exists.", true, false},
		{head + device + device, 1, "already exists", true, false},
		{attr("a_b", "x"), 1, "invalid characters", true, false},
		{attr("zonely", "x"), 1, "reserved", true, false},
		{attr("a", "a=b"), 1, "needs quotes", true, false},
		{attr("a", "a b"), 1, "syntax error", true, false},
	} {
		for way, saved := range map[string]bool{"'" + v.script: v.wordsSaved, "-f " + h.file(v.script): v.fileSaved} {
			h.put("z", "")
			h.want(v.exit, v.text, "zonecfg -z z "+way)
			if _, ok := h.Zones.Get("z"); ok != saved {
				t.Errorf("%s: saved %v, want %v", way, ok, saved)
			}
		}
	}
}

// A create over an installed zone prints an error, edits and saves that zone, and
// exits with 0. A change of a running zone takes effect at its next boot.
func TestZonecfgOfExistingZone(t *testing.T) {
	h := install(t)
	h.put("z", Configured)
	h.want(1, "Zone exists, input not from terminal and -F not specified", "zonecfg -z z 'HEAD")
	for _, state := range []string{Installed, Running} {
		h.put("z", state)
		for link, create := range map[string]string{"ox1": "create -b", "ox2": "create -b -F"} {
			h.want(0, "Zone z already installed; create not allowed.",
				"zonecfg -z z '"+create+";set zonepath=/zones/z;add net;set physical="+link+";end")
		}
		z, _ := h.Zones.Get("z")
		if links := z.Config.Links(); len(links) != 3 || z.Config.Zonepath() == "/zones/z" || z.holds(links[1]) {
			t.Errorf("the lines after create changed it so: %+v", z)
		}
	}
}

func TestZonecfgDelete(t *testing.T) {
	h := install(t)
	for state, text := range map[string]string{
		Configured: "", Incomplete: "", Installed: "", "": "z: No such zone configured",
		Running: "z: Zone state is invalid for the requested operation", Down: "z: Zone state is invalid",
	} {
		h.put("z", state)
		h.want(1, "-F not specified", "zonecfg -z z delete")
		h.want(min(1, len(text)), text, "zonecfg -z z delete -F")
		if _, there := h.Zones.Get("z"); there != (state == Running || state == Down) {
			t.Errorf("a zone that was %q exists: %v", state, there)
		}
	}
}

// zonecfg writes a zone's file before the index, and removes it after that. If it is
// killed in between, there is a file of a zone that no list has.
func TestZonecfgDies(t *testing.T) {
	h := install(t)
	script := h.file(h.script("z"))
	h.put("other", Configured)
	for before, args := range map[string]string{"": "-f " + script, Configured: "delete -F"} {
		h.put("z", before)
		h.Inject(Fault{Do: Die, When: During, Command: "zonecfg", Object: "z", Times: 1})
		if err := h.begin("zonecfg -z z " + args).Wait(); err == nil {
			t.Error("it was not killed")
		}
		if list := h.ok("zoneadm list -cip"); strings.Contains(list, ":z:") || !strings.Contains(list, ":other:") {
			t.Errorf("%s: listed:\n%s", args, list)
		}
		if _, err := os.Stat(filepath.Join(h.ZonesDir(), "z.xml")); err != nil {
			t.Errorf("%s: no file is left: %v", args, err)
		}
		h.answers([]line{
			{"zonecfg -z z export", 0, "set zonepath="},
			{"zonecfg -z z delete -F", 0, ""},
			{"zonecfg -z z export", 1, "z: No such zone configured"},
		})
	}
}

// Concurrent creations, boots and halts leave a consistent state: one creates the
// zone, and the others find it done.
func TestOneZoneAtOnce(t *testing.T) {
	h := install(t)
	for _, v := range []struct {
		line, after string
		succeed     int
	}{
		{"zonecfg -z z -f " + h.file(h.script("z")), Configured, 1},
		{"zoneadm -z z boot", Running, 6},
		{"zoneadm -z z halt", Installed, 6},
	} {
		if v.after == Running {
			h.put("z", Installed)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		succeeded := 0
		for range 6 {
			wg.Go(func() {
				if h.command(strings.Fields(v.line)...).Run() == nil {
					mu.Lock()
					defer mu.Unlock()
					succeeded++
				}
			})
		}
		wg.Wait()
		if succeeded != v.succeed || h.state() != v.after {
			t.Errorf("%s: %d have succeeded, want %d; the zone is %q", v.line, succeeded, v.succeed, h.state())
		}
	}
}
