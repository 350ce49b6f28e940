//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Servers that report another VM state 5,000 times a second and answer at once cost no more than a busy
// VM: the agent asks about once a second, and the ledger, Nexus, the log and the VMM's history get no
// more than it has asked for.
func TestFloodOfStateChanges(t *testing.T) {
	h := newHarness(t, setup{})
	vms, servers := make([]*vm, 4), make([]*fakeServer, 4)
	for i := range vms {
		begun, id := time.Now(), uuid.New()
		vms[i], servers[i] = h.launchFake(func(n uint64) string {
			return floodAnswer(max(n, uint64(time.Since(begun)/(200*time.Microsecond))), id)
		})
	}
	pause(3 * time.Second) // a burst at first is allowed
	seen := func() (asked, published int) {
		for i, v := range vms {
			asked += int(servers[i].asked.Load())
			published += len(h.nexus.received(v.id))
		}
		return asked, published
	}
	before, written := h.usage(), writes(h.agent().pid())
	asked, published := seen()
	pause(5 * time.Second)
	askedNow, publishedNow := seen()
	asked, published = askedNow-asked, publishedNow-published
	after, written := h.usage(), writes(h.agent().pid())-written
	t.Logf("%d calls of the monitor, %d records at Nexus, %d writes, %d bytes of log", asked, published, written, after.log-before.log)
	if asked > len(vms)*(5+8) {
		t.Errorf("the monitor was asked %d times within 5 s", asked)
	}
	if published > asked+len(vms) {
		t.Errorf("of %d calls of the monitor came %d records at Nexus", asked, published)
	}
	if written > 60*(asked+len(vms)) {
		t.Errorf("of %d calls of the monitor came %d writes", asked, written)
	}
	if after.log-before.log > 8<<10*(asked+len(vms)) {
		t.Errorf("of %d calls of the monitor came %d bytes of log", asked, after.log-before.log)
	}
	before.bounds(t, after)
	for _, v := range vms {
		events := v.status().Events
		if len(events) > 100 || events[0].Kind != "registered" {
			t.Errorf("%d events are remembered, the first is %+v", len(events), events[0])
		}
	}
	stopAllAtDeadline(vms, grace)
}

// floodAnswer changes the state in each generation: of the VM, of a migration, or of both.
func floodAnswer(n uint64, id uuid.UUID) string {
	state := []vmm.PropolisState{"Running", "Rebooting"}[n/2%2]
	phase := []string{"Sync", "RamPush", "Pause", "RamPushDirty", "Device"}[n%5]
	return fmt.Sprintf(`{"gen":%d,"state":%q,"migration":{"migration_in":null,"migration_out":{"id":%q,"state":%q}}}`, n, state, id, phase)
}

// writes returns how many write system calls a process has made.
func writes(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	for line := range strings.Lines(string(text)) {
		n := 0
		if _, err := fmt.Sscanf(line, "syscw: %d", &n); err == nil {
			return n
		}
	}
	return 0
}
