package qemu

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// newBridge makes a bridge of the host.
func newBridge(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("brq%d", os.Getpid()%1e6)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a bridge")
	}
	if out, err := exec.Command("ip", "link", "add", name, "mtu", "1400", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("this machine makes no bridge: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "link", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("delete bridge: %v: %s", err, out)
		}
	})
	return name
}

// ports returns the bridge's ports.
func ports(t *testing.T, bridge string) (names []string) {
	t.Helper()
	all, err := os.ReadDir("/sys/class/net/" + bridge + "/brif")
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range all {
		names = append(names, port.Name())
	}
	return names
}

func ofDevice(t *testing.T, name, what string) string {
	t.Helper()
	text, err := os.ReadFile("/sys/class/net/" + name + "/" + what)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// A new tap device is a port of the bridge, of which it changes nothing, and is gone with its last descriptor.
func TestBridge(t *testing.T) {
	bridge := newBridge(t)
	if err := CheckBridge(bridge); err != nil {
		t.Error(err)
	}
	f, err := (&tap{bridge: bridge, mac: "02:00:00:00:00:01"}).open()
	if err != nil {
		t.Fatal(err)
	}
	had := ports(t, bridge)
	if len(had) != 1 || ofDevice(t, had[0], "address") != "fe:00:00:00:00:01" || ofDevice(t, had[0], "mtu") != "1400" || ofDevice(t, bridge, "mtu") != "1400" {
		t.Errorf("the bridge has the ports %q", had)
	}
	if flags := ofDevice(t, had[0], "flags"); !strings.HasSuffix(flags, "3") { // up, broadcast
		t.Errorf("its flags are %s", flags)
	}
	f.Close()
	if left := ports(t, bridge); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for want, tap := range map[string]*tap{
		`tap device "none"`: {name: "none"},
		`to bridge "none"`:  {bridge: "none", mac: "02:00:00:00:00:01"},
		`to bridge "lo"`:    {bridge: "lo", mac: "02:00:00:00:00:01"},
	} {
		_, err := openAll([]inherited{{what: `component "nic"`, tap: tap}}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), `component "nic": `) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
