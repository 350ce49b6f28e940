package standin

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDladm(t *testing.T) {
	h := install(t)
	create := "dladm create-vnic -t -l underlay_stub0 "
	h.put("z", Running) // with ox0
	h.answers([]line{
		{create + "-p mtu=9000 ox1", 0, ""},
		{"dladm show-link -p -o LINK,CLASS,OVER,MTU", 0, "ox1:vnic:underlay_stub0:1500\n"}, // illumos 15695
		{"dladm set-linkprop -t -p mtu=9000 ox1", 0, ""},
		{"dladm show-link -p -o LINK,MTU", 0, "ox1:9000\n"},
		{"dladm set-linkprop -t -p mtu=9001 ox1", 1, "invalid value"},
		{"dladm set-linkprop -t -p mtu=1 ox1", 1, "invalid value"},
		{"dladm set-linkprop -t -p colour=red ox1", 1, "invalid link property 'colour=red'"},
		{"dladm set-linkprop -t -p mtu=9000 ox9", 1, "invalid link name 'ox9'"},
		{create + "ox1", 1, "dladm: vnic creation over underlay_stub0 failed: object already exists"},
		{create + "-p colour=red ox2", 1, "invalid vnic property"},
		{create + "-m 3:40:25:0:1:2 ox2", 1, "invalid MAC address value"},
		{create + "-m A8:40:25:00:01:02 ox2", 0, ""},
		{create + "-m a8:40:25:0:1:2 ox3", 1, "over underlay_stub0 failed: MAC address is already in use"},
		{"dladm create-vnic -t -l underlay0 ox3", 1, "dladm: vnic creation over underlay0 failed: invalid argument"},
		{"dladm create-vnic -t -l underlay_vlan0 ox3", 1, "over underlay_vlan0 failed: invalid argument"},
		{"dladm create-vnic -t -l absent0 ox3", 1, "over absent0 failed: object not found"},
		{create + "ox", 1, "invalid link name"},
		{create + "0ox0", 1, "invalid link name"},
		{create + "o-x0", 1, "invalid link name"},
		{create + strings.Repeat("x", 31) + "0", 1, "invalid link name"},
		{create + strings.Repeat("x", 30) + "0", 0, ""},
		{"dladm show-link -p -o colour", 1, "unknown output field 'colour'"},
		{"dladm delete-vnic ox1", 0, ""},
		{"dladm delete-vnic ox1", 1, "dladm: invalid link name 'ox1'"},
		{"dladm delete-vnic ox0", 1, "dladm: vnic deletion failed: link busy"}, // it is in a zone
		{"dladm delete-vnic underlay0", 1, "dladm: vnic deletion failed: link busy"},
		{"dladm explode x", 1, "unknown subcommand"},
	})
	// A zone's links return to the host when its last process has ended.
	h.put("z", Down)
	// Without dlmgmtd, dladm shows no links and exits with 0, and rejects every name.
	away := h.Inject(Fault{Do: LinksAway})
	if out := h.ok("dladm show-link -p -o LINK"); out != "" {
		t.Errorf("it shows %q", out)
	}
	h.answers([]line{{"dladm delete-vnic ox0", 1, "dladm: invalid link name 'ox0'"}, {create + "ox3", 1, "invalid link name"}})
	h.Release(away)
	h.want(0, "", "dladm delete-vnic ox0")
}

// A zone does not boot if it lists a link twice, or one that is absent or in use.
func TestBootFailsOnLinks(t *testing.T) {
	h := install(t)
	h.put("other", Running) // with ox0
	for link, text := range map[string]string{"ox0": "used by zone other", "absent0": "object not found"} {
		h.put("z", Installed)
		h.Change("z", func(z *Zone) { z.Config.Resources[0].Props[0].Value = link })
		h.want(1, text, "zoneadm -z z boot")
		h.wantState(Installed)
	}
	h.put("other", "")
	h.put("z", Installed)
	h.Change("z", func(z *Zone) { z.Config.Resources = slices.Repeat(z.Config.Resources, 2) })
	h.want(1, "object already exists", "zoneadm -z z boot")
}

// An uninstalled zone keeps its zonepath and dataset, and a brand does not install
// over files. Only an installed zone has a uuid.
func TestDataset(t *testing.T) {
	h := install(t)
	h.put("z", Configured)
	path := h.ZoneRoot() + "/z"
	h.answers([]line{
		{"zoneadm -z z install IMAGE", 0, ""},
		{"zoneadm list -cip", 0, "-:z:installed:" + path + ":"},
		{"zoneadm -z z uninstall -F", 0, ""},
		{"zoneadm list -cip", 0, "-:z:configured:" + path + "::omicron1:excl\n"},
		{"zfs list -H -o name", 0, "rpool\nrpool/zones\nrpool/zones/z\n"},
		{"zfs list -H -o name,mountpoint " + path + "/root", 0, "rpool/zones/z\t" + path + "\n"},
		{"zfs destroy rpool/zones", 1, "filesystem has children"},
		{"zfs destroy rpool/x", 1, "cannot open 'rpool/x': dataset does not exist"},
	})
	check(os.Mkdir(path+"/root", 0o700))
	h.want(1, "already exists", "zoneadm -z z install IMAGE")
	h.Change("z", func(z *Zone) { z.State = Running })
	h.want(1, "dataset is busy", "zfs destroy rpool/zones/z")
	h.Change("z", func(z *Zone) { z.State = Installed })
	h.answers([]line{{"zfs destroy -r rpool/zones/z", 0, ""}, {"zfs destroy -r rpool/zones/z", 1, "does not exist"}})
}
