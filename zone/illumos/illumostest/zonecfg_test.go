package illumostest

import (
	"strings"
	"testing"
)

const head = "create -b\nset brand=omicron1\nset zonepath=/zones/z\nset ip-type=exclusive\n"

// Each row is a script in a file: its exit status, a part of its text and
// whether there is a zone afterwards.
func TestZonecfgFile(t *testing.T) {
	h := install(t, Options{})
	for _, v := range []struct {
		script string
		exit   int
		text   string
		saved  bool
	}{
		{head, 0, "", true},
		{"# a comment\n" + head + "\n", 0, "", true},
		{head + "explode\n", 1, "On line 5 of ", false},
		{head + "set colour=red\n", 1, "On line 5 of ", false},
		{head + "set autoboot=maybe\n", 1, "autoboot", false},
		{"set brand=omicron1\n", 1, "z: No such zone configured", false},
		{"create -b\nset brand=omicron1\n", 1, "zonepath cannot be empty", false},
		{"create -b\nset zonepath=zones/z\n", 1, "not an absolute path", false},
		{head + "add device\nend\n", 1, "Resource incomplete.", false},
		{head + "add device\nset match=/dev/zvol/rdsk/a\n", 1, "Resource incomplete.", true},
		{head + "add device\nset physical=net0\nend\n", 1, "not a property", false},
		{head + "add net\nset physical=net0\nset address=::1\nend\n", 1, "exclusive-IP", false},
		{head + "add net\nset physical=net0\nset allowed-address=10.0.0.1/24\nend\n", 0, "", true},
		{head + "add attr\nset name=zonely\nset type=string\nset value=x\nend\n", 1, "reserved", false},
		{head + "add attr\nset name=a\nset type=string\nset value=a=b\nend\n", 1, "needs quotes", false},
		{head + "add attr\nset name=a\nset type=string\nset value=a b\nend\n", 1, "syntax error", false},
		{head + "add attr\nset name=a\nset type=string\nset value=\"a b, c=d\"\nend\n", 0, "", true},
		{head + "add capped-memory\nend\n", 1, "Resource incomplete.", false},
		{head + "add capped-memory\nset physical=1g\nset locked=2g\nend\n", 1, "The locked cap must be less than or equal to the physical cap.", false},
		{head + "add capped-memory\nset physical=1g\nset locked=512m\nend\n", 0, "", true},
		{head + "add capped-cpu\nset ncpus=1.25\nend\n", 0, "", true},
		{head + "add fs\nset type=lofs\nset dir=/a\nset special=/b\nadd options [ro]\nend\n", 0, "", true},
		{head + "set limitpriv=\"default,dtrace_user\"\n", 0, "", true},
		{head + "set limitpriv=default,dtrace_user\n", 1, "needs quotes", false},
		{head + "exit\nexplode\n", 0, "", true},
	} {
		h.bring("z", "")
		h.want(v.exit, v.text, "zonecfg", "-z", "z", "-f", h.script(v.script))
		if _, saved := h.Zone("z"); saved != v.saved {
			t.Errorf("%q: saved %v, want %v", v.script, saved, v.saved)
		}
	}
	h.want(2, "zone name is needed", "zonecfg", "export")
	h.want(1, "could not open", "zonecfg", "-z", "z", "-f", "/nonexistent")
}

// The words of a command line are gone through to the end, and committed.
func TestZonecfgWords(t *testing.T) {
	h := install(t, Options{})
	h.want(1, "not known in global scope", "zonecfg", "-z", "z",
		"create -b; set brand=omicron1; set colour=red;", "set zonepath=/zones/z")
	z, ok := h.Zone("z")
	if !ok || z.Config.Zonepath != "/zones/z" {
		t.Errorf("what was left of the configuration was not committed: %v", z)
	}
	h.ok("zonecfg", "-z", "z", "add attr; set name=a; set type=string; set value=\"x; y\"; end")
	if z, _ = h.Zone("z"); z.Config.All("attr")[0].Get("value") != "x; y" {
		t.Errorf("attributes are %v", z.Config.All("attr"))
	}
}

func TestZonecfgCreate(t *testing.T) {
	h := install(t, Options{})
	again := h.script(head)
	h.ok("zonecfg", "-z", "z", "-f", again)
	h.want(1, "Zone exists, input not from terminal and -F not specified", "zonecfg", "-z", "z", "-f", again)
	h.want(0, "Zone z already exists; overwriting.", "zonecfg", "-z", "z", "-f", h.script(strings.Replace(head, "-b", "-b -F", 1)))
	h.bring("z", "installed")
	h.want(1, "Zone z already installed; create not allowed.", "zonecfg", "-z", "z", "-f",
		h.script("create -b -F\nadd attr\nset name=edited\nset type=string\nset value=yes\nend\n"))
	z, _ := h.Zone("z")
	if n := len(z.Config.All("attr")); n != 2 {
		t.Errorf("the lines after create -F did not edit what was there: %d attributes", n)
	}
}

// What is configured while a zone runs is for its next boot.
func TestZonecfgOfRunningZone(t *testing.T) {
	h := install(t, Options{})
	h.running("z", "ox0")
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox1")
	h.ok("zonecfg", "-z", "z", "-f", h.script("add net\nset physical=ox1\nend\n"))
	owner := func() string { return strings.TrimSpace(h.ok("dladm", "show-vnic", "-p", "-o", "ZONE", "ox1")) }
	if got := owner(); got != "" {
		t.Errorf("the link was given to zone %s, which runs", got)
	}
	h.ok("zoneadm", "-z", "z", "halt")
	h.ok("zoneadm", "-z", "z", "boot")
	if got := owner(); got != "z" {
		t.Errorf("after a boot the link is in zone %q", got)
	}
}

func TestZonecfgDelete(t *testing.T) {
	h := install(t, Options{})
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox0")
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox1")
	for _, state := range []string{"configured", "incomplete", "installed"} {
		h.bring("z", state)
		h.want(1, "-F not specified", "zonecfg", "-z", "z", "delete")
		h.ok("zonecfg", "-z", "z", "delete", "-F")
		if h.State("z") != "" {
			t.Errorf("%s: not deleted", state)
		}
	}
	for _, state := range []string{"ready", "running", "shutting_down", "down"} {
		h.bring("z", state)
		h.want(1, "z: Zone state is invalid for the requested operation", "zonecfg", "-z", "z", "delete", "-F")
	}
	h.bring("z", "")
	h.want(1, "z: No such zone configured", "zonecfg", "-z", "z", "delete", "-F")
	h.want(1, "z: No such zone configured", "zonecfg", "-z", "z", "export")
	h.want(1, "z: No such zone configured", "zonecfg", "-z", "z", "info")
}

func TestZonecfgExport(t *testing.T) {
	h := install(t, Options{})
	h.ok("zonecfg", "-z", "z", "-f", h.script(head+`add attr
set name=a
set type=string
set value="x, y"
end
add device
set match=/dev/vmm/*
end
add net
set physical=net0
end
add capped-cpu
set ncpus=1.25
end
add capped-memory
set swap=2g
end
`))
	want := `create -b
set zonepath=/zones/z
set brand=omicron1
set autoboot=false
set ip-type=exclusive
add net
set physical=net0
end
add device
set match=/dev/vmm/*
end
add rctl
set name=zone.cpu-cap
add value (priv=privileged,limit=125,action=deny)
end
add rctl
set name=zone.max-swap
add value (priv=privileged,limit=2147483648,action=deny)
end
add attr
set name=a
set type=string
set value="x, y"
end
`
	got := h.ok("zonecfg", "-z", "z", "export")
	if got != want {
		t.Errorf("got\n%s", got)
	}
	h.ok("zonecfg", "-z", "copy", "-f", h.script(got))
	if again := h.ok("zonecfg", "-z", "copy", "export"); again != want {
		t.Errorf("an export that was read in is\n%s", again)
	}
	if info := h.ok("zonecfg", "-z", "z", "info", "net"); info != "net:\n\tphysical: net0\n" {
		t.Errorf("info: %q", info)
	}
}
