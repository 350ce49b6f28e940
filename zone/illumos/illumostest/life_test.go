package illumostest

import (
	"net"
	"path/filepath"
	"testing"
)

func TestLife(t *testing.T) {
	h := install(t, Options{})
	addr := h.installed("oxz_propolis-server_1", "oxControlInstance0")
	const zone = "oxz_propolis-server_1"
	if h.State(zone) != "installed" {
		t.Fatal(h.State(zone))
	}
	h.ok("zoneadm", "-z", zone, "boot")
	h.online(zone)
	h.Eventually("the server listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	t.Log(h.ok("zoneadm", "list", "-cip"))
	h.want(1, "link busy", "dladm", "delete-vnic", "oxControlInstance0")
	h.ok("zoneadm", "-z", zone, "halt")
	if n := h.Processes(zone); len(n) != 0 || h.State(zone) != "installed" {
		t.Errorf("after halt there are processes %v, state %s", n, h.State(zone))
	}
	h.ok("zoneadm", "-z", zone, "uninstall", "-F")
	if exists(filepath.Join(h.ZoneRoot(), zone, "root")) || h.Datasets()["rpool/zones/"+zone] == nil {
		t.Error("uninstall left the root, or removed the dataset")
	}
	h.ok("zonecfg", "-z", zone, "delete", "-F")
	h.ok("dladm", "delete-vnic", "oxControlInstance0")
	h.ok("zfs", "destroy", "-r", "rpool/zones/"+zone)
	if _, ok := h.Zone(zone); ok || exists(filepath.Join(h.ZoneRoot(), zone)) {
		t.Error("something of the zone is left")
	}
}
