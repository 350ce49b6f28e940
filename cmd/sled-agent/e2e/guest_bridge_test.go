package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/agent/wire"
)

// newBridge makes a bridge of the host.
func newBridge(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a bridge")
	}
	name := fmt.Sprintf("bre%d", os.Getpid()%1e6)
	if out, err := exec.Command("ip", "link", "add", name, "up", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("this machine makes no bridge: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "link", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("delete bridge: %v: %s", err, out)
		}
	})
	return name
}

// portsOf returns how many packets have arrived at each port of a bridge.
func portsOf(bridge string) (received []int) {
	all, _ := filepath.Glob("/sys/class/net/" + bridge + "/lower_*/statistics/rx_packets") // The pattern is valid.
	for _, file := range all {
		text, _ := os.ReadFile(file) // It may be gone.
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			received = append(received, n)
		}
	}
	return received
}

// A guest's card is a port of a bridge, which is gone with the VM, even if its server is killed. The
// guest is QEMU's firmware, which asks the network for something to boot.
func TestRealGuestBridge(t *testing.T) {
	h := guestHarness(t)
	bridge := newBridge(t)
	boot := func() *vm {
		v := h.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(t), CPUs: 1, MemoryMiB: 64, NICs: 1}).register()
		v.serverScript(fmt.Sprintf(`exec '%s' run --api-version 7.0.0 --accel tcg --net bridge=%s "$addr"`, program("propolis-qemu"), bridge))
		return v.launch()
	}
	killed, stopped := boot(), boot()
	waitFor(t, func() string {
		if got := portsOf(bridge); len(got) != 2 || got[0] == 0 || got[1] == 0 {
			return fmt.Sprintf("the bridge's ports have received %d packets", got)
		}
		return ""
	})
	killed.signal("propolis-qemu run", syscall.SIGKILL)
	killed.endsFailed()
	if left := portsOf(bridge); len(left) != 1 {
		t.Errorf("of two ports, %d are left", len(left))
	}
	stopped.stopAndEnd()
	if left := portsOf(bridge); len(left) != 0 {
		t.Errorf("%d ports are left", len(left))
	}
}
