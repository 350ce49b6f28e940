package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// askNewest is ask in the newest version of the API.
func (h *harness) askNewest(method, path string, body []byte) answer {
	h.t.Helper()
	got, err := h.askIn(bounded(h.t), "54.0.0", method, path, body)
	must(h.t, err)
	return got
}

// configure sends the agent a sled configuration.
func (h *harness) configure(generation int, value disposition.Value) {
	h.t.Helper()
	body := fmt.Appendf(nil, `{"generation":%d,"datasets":{},"disks":{},"zones":{},"measurements":[],"update_disposition":%q}`, generation, value)
	h.askNewest("PUT", "/omicron-config", body).wants(h.t, http.StatusNoContent)
}

// inventory returns what an update of Nexus decides by.
func (h *harness) inventory() (value disposition.Value, vmms int, generation int) {
	h.t.Helper()
	got := h.askNewest("GET", "/inventory", nil).wants(h.t, http.StatusOK)
	var all struct {
		Config *struct{ Generation int } `json:"ledgered_sled_config"`
		Status struct {
			Disposition struct {
				Value disposition.Value
			} `json:"update_disposition"`
			VMMs int `json:"num_registered_vmms"`
		} `json:"instance_manager_status"`
	}
	must(h.t, json.Unmarshal(got.body, &all))
	if all.Config != nil {
		generation = all.Config.Generation
	}
	return all.Status.Disposition.Value, all.Status.VMMs, generation
}

func (h *harness) takesNoVMM() {
	h.t.Helper()
	v := h.newVM()
	v.over = true // the agent does not know it
	got, err := h.ask(bounded(h.t), "PUT", v.path(), v.body)
	must(h.t, err)
	if got.wants(h.t, http.StatusServiceUnavailable).code() != "SLED_EVACUATING" {
		h.t.Errorf("a registration is answered with %v", got)
	}
}

// A drain goes on after the agent was killed, at its first deadline, and the sled takes no
// VMM until it is undrained (R).
func TestDrainSurvivesTheAgent(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	obedient, idle := h.launch(), h.register()
	deaf := h.launchWith(withFaults("ignore-stop"))
	for _, v := range []*vm{obedient, idle, deaf} {
		v.mayEnd()
	}
	began, grace := time.Now(), longer
	now, err := h.admin.BeginDrain(bounded(t), &grace)
	must(t, err)
	if now.Disposition != disposition.Evacuating || now.VMMs != 3 {
		t.Errorf("the drain is %+v", now)
	}
	h.restart()
	h.takesNoVMM()
	for _, v := range []*vm{obedient, idle} {
		v.endsDestroyed()
	}
	h.restart()
	value, vmms, _ := h.inventory()
	// On a loaded machine the deadline may have passed.
	if early := time.Since(began) < grace; value != disposition.Evacuating || vmms != 1 && early {
		t.Errorf("the sled is %s and has %d VMMs", value, vmms)
	}
	deaf.removedAtDeadline(stop{sent: began, grace: grace})
	deaf.endsDestroyed()
	h.takesNoVMM()
	if value, vmms, _ := h.inventory(); value != disposition.Evacuating || vmms != 0 {
		t.Errorf("the sled is %s and has %d VMMs", value, vmms)
	}
	_, err = h.admin.EndDrain(bounded(t))
	must(t, err)
	h.restart()
	h.launch().stopAndEnd()
}

// The disposition of Nexus's configuration outlives the agent, and stops nothing.
func TestEvacuationSurvivesTheAgent(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	v := h.launch()
	h.configure(7, disposition.Evacuating)
	h.restart()
	h.takesNoVMM()
	if value, vmms, generation := h.inventory(); value != disposition.Evacuating || vmms != 1 || generation != 7 {
		t.Errorf("the sled is %s by generation %d and has %d VMMs", value, generation, vmms)
	}
	stale := fmt.Appendf(nil, `{"generation":6,"datasets":{},"disks":{},"zones":{},"measurements":[],"update_disposition":"available"}`)
	h.askNewest("PUT", "/omicron-config", stale).wants(t, http.StatusBadRequest)
	h.takesNoVMM()
	v.is(vmm.WireRunning)
	v.stopAndEnd()
	h.configure(8, disposition.Available)
	h.launch().stopAndEnd()
}

// A damaged file does not stop the agent, which takes no new VMM until the file was
// replaced, and says so.
func TestDamagedDisposition(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	v := h.launch()
	h.agent().kill()
	must(t, os.WriteFile(h.state("operator-drain.json"), []byte("\x00\x00\x00"), 0o600))
	h.replace(h.agent())
	h.takesNoVMM()
	h.agent().logs(t, "failed to read the sled's disposition", "operator-drain.json")
	if about := h.about(); about.Disposition != disposition.Evacuating || len(about.Troubles) != 1 {
		t.Errorf("the agent shows %+v", about)
	}
	v.is(vmm.WireRunning)
	_, err := h.admin.EndDrain(bounded(t))
	must(t, err)
	if about := h.about(); about.Disposition != disposition.Available || len(about.Troubles) != 0 {
		t.Errorf("the agent shows %+v", about)
	}
	v.stopAndEnd()
	h.launch().stopAndEnd()
}
