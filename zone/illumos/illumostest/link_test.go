package illumostest

import (
	"strings"
	"testing"
)

func TestDladm(t *testing.T) {
	h := install(t, Options{})
	for _, v := range []struct {
		args string
		exit int
		text string
	}{
		{"create-vnic -t -l underlay_stub0 -p mtu=9000 ox0", 0, ""},
		{"show-linkprop -c -o value -p mtu ox0", 0, "1500\n"}, // illumos 15695
		{"set-linkprop -t -p mtu=9000 ox0", 0, ""},
		{"show-linkprop -c -o value -p mtu ox0", 0, "9000\n"},
		{"set-linkprop -t -p mtu=1 ox0", 1, "invalid value"},
		{"set-linkprop -t -p mtu=9000 ox9", 1, "invalid link name 'ox9'"},
		{"create-vnic -t -l underlay_stub0 ox0", 1, "dladm: vnic creation over underlay_stub0 failed: object already exists"},
		{"create-vnic -t -l absent0 ox1", 1, "dladm: vnic creation over absent0 failed: object not found"},
		{"create-vnic -t -l underlay_stub0 ox", 1, "invalid link name"},
		{"create-vnic -t -l underlay_stub0 0ox0", 1, "invalid link name"},
		{"create-vnic -t -l underlay_stub0 o-x0", 1, "invalid link name"},
		{"create-vnic -t -l underlay_stub0 " + strings.Repeat("x", 31) + "0", 1, "invalid link name"},
		{"create-vnic -t -l underlay_stub0 " + strings.Repeat("x", 30) + "0", 0, ""},
		{"create-vnic -t -l underlay_stub0 -m a8:40:25:00:01:02 -v 7 ox1", 0, ""},
		{"show-vnic -p -o LINK ox1", 0, "ox1\n"},
		{"show-vnic -p -o MACADDRESS ox1", 0, "a8:40:25:0:1:2\n"},
		{"show-vnic -p -o link,over,macaddress,vid ox1", 0, `ox1:underlay_stub0:a8\:40\:25\:0\:1\:2:7` + "\n"},
		{"show-vnic -p -o link,zone ox1", 0, "ox1:\n"},
		{"show-vnic -p ox1", 1, "-o"},
		{"show-vnic -p -o all ox1", 1, "-o"},
		{"show-vnic -p -o colour ox1", 1, "unknown output field 'colour'"},
		{"show-vnic -p -o LINK ox9", 1, "dladm: invalid vnic name 'ox9': object not found"},
		{"show-etherstub -p -o LINK", 0, "underlay_stub0\n"},
		{"show-link -p -o LINK,CLASS underlay0", 0, "underlay0:vnic\n"},
		{"delete-vnic ox1", 0, ""},
		{"delete-vnic ox1", 1, "dladm: invalid link name 'ox1'"},
		{"delete-vnic underlay0", 1, "dladm: vnic deletion failed: link busy"},
		{"create-etherstub -t stub1", 0, ""},
		{"delete-etherstub underlay_stub0", 1, "link busy"},
		{"delete-etherstub stub1", 0, ""},
		{"explode", 1, "unknown subcommand"},
	} {
		h.want(v.exit, v.text, "dladm", strings.Fields(v.args)...)
	}
}

// A link is the zone's from ready until the last process has ended.
func TestLinkOfZone(t *testing.T) {
	h := install(t, Options{})
	h.installed("z", "ox0")
	stuck := map[string]*Injected{}
	for _, state := range []string{"shutting_down", "down"} {
		stuck[state] = h.Inject(Fault{Do: Stuck, Object: "z", State: state})
	}
	owner := func() string { return strings.TrimSpace(h.ok("dladm", "show-vnic", "-p", "-o", "ZONE", "ox0")) }
	check := func(state, want string) {
		t.Helper()
		h.Eventually("the zone is "+state, func() bool { return h.State("z") == state })
		if got := owner(); got != want {
			t.Errorf("in %s the link is in zone %q, want %q", state, got, want)
		}
	}
	check("installed", "")
	h.ok("zoneadm", "-z", "z", "ready")
	check("ready", "z")
	h.ok("zoneadm", "-z", "z", "boot")
	check("running", "z")
	halt := h.Command("zoneadm", "-z", "z", "halt")
	if err := halt.Start(); err != nil {
		t.Fatal(err)
	}
	check("shutting_down", "z")
	stuck["shutting_down"].Release()
	check("down", "")
	stuck["down"].Release()
	if err := halt.Wait(); err != nil {
		t.Error(err)
	}
	h.Inject(Fault{Do: LinkBusy, Object: "ox0", Times: 2})
	for range 2 {
		h.want(1, "dladm: vnic deletion failed: link busy", "dladm", "delete-vnic", "ox0")
	}
	h.ok("dladm", "delete-vnic", "ox0")
}

func TestLinkLingers(t *testing.T) {
	h := install(t, Options{LinkLinger: patience * 10})
	h.running("z", "ox0")
	h.ok("zoneadm", "-z", "z", "halt")
	h.want(1, "link busy", "dladm", "delete-vnic", "ox0")
}

func TestIpadm(t *testing.T) {
	h := install(t, Options{})
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "ox0")
	for _, v := range []struct {
		args string
		exit int
		text string
	}{
		{"show-addr -p -o ADDR underlay0/sled6", 0, "fd00:1122:3344:101::1/64\n"},
		{"show-addr -p -o ADDROBJ,ADDR underlay0/sled6", 0, `underlay0/sled6:fd00\:1122\:3344\:101\:\:1/64`},
		{"show-addr -p -o ADDR ox0/omicron6", 1, "Object not found"},
		{"create-if -t ox0", 0, ""},
		{"create-if -t ox0", 1, "Interface already exists"},
		{"create-addr -t -T static -a fd00::2/64 ox0/omicron6", 0, ""},
		{"create-addr -t -T static -a fd00::2/64 ox0/omicron6", 1, "Address object already exists"},
		{"delete-addr ox0/omicron6", 0, ""},
		{"delete-addr ox0/omicron6", 1, "could not delete address: Object not found"},
		{"set-ifprop -t -p mtu=9000 -m ipv6 ox0", 0, ""},
		{"delete-if ox0", 0, ""},
		{"delete-if ox0", 1, "Interface does not exist"},
	} {
		h.want(v.exit, v.text, "ipadm", strings.Fields(v.args)...)
	}
}

func TestZfs(t *testing.T) {
	h := install(t, Options{})
	h.running("z", "ox0")
	if got := h.ok("zfs", "list", "-H", "-r", "-o", "name", "rpool/zones"); got != "rpool/zones\nrpool/zones/z\n" {
		t.Errorf("list: %q", got)
	}
	if got := h.ok("zfs", "list", "-H", "-o", "name", h.ZoneRoot()); got != "rpool/zones\n" {
		t.Errorf("list of a path: %q", got)
	}
	h.want(1, "filesystem has children", "zfs", "destroy", "rpool/zones")
	h.want(1, "dataset is busy", "zfs", "destroy", "rpool/zones/z")
	h.want(1, "cannot open 'rpool/x': dataset does not exist", "zfs", "list", "-H", "rpool/x")
	h.want(1, "dataset does not exist", "zfs", "destroy", "rpool/x")
	h.ok("zfs", "create", "rpool/zones/sub")
	h.want(1, "dataset already exists", "zfs", "create", "rpool/zones/sub")
	h.ok("zfs", "destroy", "rpool/zones/sub")
	if exists(h.ZoneRoot() + "/sub") {
		t.Error("the dataset's directory is left")
	}
}

func TestKstat(t *testing.T) {
	h := install(t, Options{})
	const zone = "oxz_propolis-server_0a1b2c3d-0000-4000-8000-000000000000"
	h.want(1, "", "kstat", "-p", "-m", "zones")
	h.running(zone, "ox0")
	h.online(zone)
	for pattern, want := range map[string]string{
		"zones:::zonename": "zones:1:oxz_propolis-server_0a1b2c3d-0:zonename\t" + zone + "\n",
		"vmm::vm:vm_name":  "vmm:1:vm:vm_name\t0a1b2c3d-0000-4000-8000-000000000000\n",
		"link:0:ox0:ierr*": "link:0:ox0:ierrors\t0\n",
	} {
		if got := h.ok("kstat", "-p", pattern); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	if got := h.ok("kstat", "-p", "-m", "zones", "-s", "nsec_user"); strings.Count(got, "\n") != 1 {
		t.Errorf("by options: %q", got)
	}
	h.ok("zoneadm", "-z", zone, "halt")
	h.want(1, "", "kstat", "-p", "vmm::vm:")
}
