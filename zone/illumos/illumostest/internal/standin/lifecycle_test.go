package standin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A boot or halt continues if its client is killed, and if other operations are
// requested meanwhile.
func TestKilledClient(t *testing.T) {
	h := install(t, "/bin/sleep", "1000")
	h.put("z", Installed)
	boot := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadmd", Verb: "boot", Object: "z"})
	client := h.begin("zoneadm -z z boot")
	h.awaitStrike(boot)
	h.wantState(Ready)
	kill(client)
	h.Release(boot)
	h.online("z")

	for _, state := range []string{ShuttingDown, Down} {
		h.Inject(Fault{Do: Stuck, Object: "z", State: state})
	}
	client = h.begin("zoneadm -z z halt")
	h.awaitStrike(h.Faults()[0].ID)
	h.wantState(ShuttingDown)
	kill(client)
	second := h.begin("zoneadm -z z halt") // waits behind the first
	h.Release(h.Faults()[0].ID)
	h.awaitStrike(h.Faults()[0].ID)
	h.wantState(Down)
	if left := h.Processes("z"); len(left) > 0 {
		t.Errorf("down, the zone has processes %v", left)
	}
	h.Release("")
	if err := second.Wait(); err != nil {
		t.Errorf("the second halt: %v", err)
	}
	h.wantState(Installed)
}

// A killed install or uninstall leaves the zone incomplete and releases its lock, for
// which others wait. SIGHUP does not kill it.
func TestKilledInstall(t *testing.T) {
	h := install(t)
	for verb, before := range map[string]string{"install " + h.Images()[0]: Configured, "uninstall -F": Installed} {
		h.put("z", before)
		hang := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadm", Object: "z", Times: 1})
		client := h.begin("zoneadm -z z " + verb)
		h.awaitStrike(hang)
		if err := client.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		next := h.begin("zoneadm -z z uninstall -F")
		h.wantState(Incomplete)
		kill(client)
		if err := next.Wait(); err != nil {
			t.Errorf("the uninstall that waited: %v", err)
		}
		h.wantState(Configured)
		h.Release("")
	}
}

// When zoneadmd dies, the zone keeps its state until the next halt.
func TestZoneadmdDies(t *testing.T) {
	h := install(t, "/bin/sleep", "1000")
	for verb, states := range map[string][]string{"boot": {Ready}, "halt": {ShuttingDown, Down}} {
		for _, state := range states {
			h.put("z", Installed)
			if verb == "halt" {
				h.ok("zoneadm -z z boot")
				h.online("z")
			}
			h.Inject(Fault{Do: Die, When: During, Command: "zoneadmd", Verb: verb, State: state, Times: 1})
			h.want(1, "call to zoneadmd failed", "zoneadm -z z "+verb)
			h.wantState(state)
			if n := len(h.Processes("z")); (n > 0) != (state == ShuttingDown) {
				t.Errorf("in %s the zone has %d processes", state, n)
			}
			h.want(0, "WARNING: zone is in state '"+state+"', but zoneadmd does not appear to be available; "+
				"restarted zoneadmd to recover.", "zoneadm -z z halt")
			h.wantState(Installed)
			if left := h.Processes("z"); len(left) > 0 {
				t.Errorf("after the second halt processes %v are left", left)
			}
		}
	}
}

// An uninstall waits for a boot in progress that is not visible in the zone's state
// yet. Then it fails and changes neither the zone nor its zoneadmd.
func TestUninstallDuringBoot(t *testing.T) {
	h := install(t)
	h.put("z", Installed)
	slow := h.Inject(Fault{Do: Hang, Command: "zoneadmd", Verb: "boot"})
	boot := h.begin("zoneadm -z z boot")
	h.awaitStrike(slow)
	h.wantState(Installed)
	asks := h.Inject(Fault{Do: Slow, Command: "zoneadm", Verb: "uninstall"})
	uninstall := h.begin("zoneadm -z z uninstall -F")
	h.awaitStrike(asks)
	h.Release(slow)
	if err := boot.Wait(); err != nil {
		t.Errorf("boot: %v", err)
	}
	if err := uninstall.Wait(); err == nil {
		t.Error("a zone that runs was uninstalled")
	}
	if text := h.ok("zoneadm -z z halt"); strings.Contains(text, "WARNING") {
		t.Error("the zoneadmd of a zone that runs was ended")
	}
}

func TestPkill(t *testing.T) {
	h := install(t, "/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1001")
	h.want(2, "unknown zone", "pkill -9 -z z")
	h.want(2, "usage", "pkill -9")
	h.put("z", Installed)
	h.want(1, "", "pkill -9 -z z")
	h.ok("zoneadm -z z boot")
	h.eventually("init, server and its detached child", func() bool { return len(h.Processes("z")) == 3 })
	h.want(1, "", "pgrep -z z nothing-like-this")
	if n := strings.Count(h.ok("pgrep -z z"), "\n"); n != 3 {
		t.Errorf("pgrep finds %d", n)
	}
	before, _ := h.Zones.Get("z")
	h.ok("pkill -9 -z z")
	h.eventually("the kernel has started init again", func() bool {
		now, _ := h.Zones.Get("z")
		return now.InitPID != before.InitPID && len(h.Processes("z")) == 3
	})
	if slices.Contains(h.Processes("z"), before.ServerPID) {
		t.Error("the server survived pkill")
	}
	h.ok("zoneadm -z z halt")
	if left := h.Processes("z"); len(left) > 0 {
		t.Errorf("halt left %v", left)
	}
}

// An invalid profile or a fault puts the service into maintenance. svcs and the log
// give the reason.
func TestMaintenance(t *testing.T) {
	h := install(t)
	for _, v := range []struct{ old, new, reason string }{
		{"</service_bundle>", "", "unexpected EOF"},
		{"<!DOCTYPE service_bundle", "<!DOCTYPE bundle", "does not enable"},
		{"system/illumos/propolis-server", "system/other", "does not enable"},
		{`enabled="true"`, `enabled="false"`, "does not enable"},
		{`value="ox0"`, `value="ox1"`, "cannot use datalink"},
		{`value="fd00::1"`, `value="gw"`, "cannot use"},
		{`value="127.0.0.1"`, `value="localhost"`, "cannot use"},
		{"", "", "hypervisor"},
	} {
		h.put("z", Installed)
		z, _ := h.Zones.Get("z")
		text := strings.Replace(goodProfile, v.old, v.new, 1)
		check(os.WriteFile(filepath.Join(z.Config.root(), profileDir, "site.xml"), []byte(text), 0o600))
		h.Release("")
		if v.old == "" {
			h.Inject(Fault{Do: Maintenance, Object: "z", Text: "no hypervisor"})
		}
		h.ok("zoneadm -z z boot")
		h.eventually("maintenance: "+v.reason, func() bool { z, _ := h.Zones.Get("z"); return z.Service.State == "maintenance" })
		h.want(0, v.reason, "svcs -xv -z z")
		if log, err := os.ReadFile(filepath.Join(z.Config.root(), serviceLog)); v.old != "" && (err != nil || !strings.Contains(string(log), v.reason)) {
			t.Errorf("log %q, %v; want %q", log, err, v.reason)
		}
		h.ok("zoneadm -z z halt")
	}
}

func TestServices(t *testing.T) {
	h := install(t, "sh", "-c", "echo {addr} {ip} {port} {zone}; exec sleep 1000")
	h.put("z", Installed)
	state, both := "svcs -z z -p -H -o state "+DefaultService, "svcs -z z -H -o state,nstate "+DefaultService
	starting := h.Inject(Fault{Do: Hang, Command: "svc.startd"})
	h.answers([]line{{state, 1, "not running"}, {strings.Replace(state, " z ", " absent ", 1), 1, "does not exist"}})
	h.ok("zoneadm -z z boot")
	h.awaitStrike(starting)
	h.answers([]line{
		{state, 0, "offline*\n"},
		{both, 0, "offline online\n"},
		{"svcprop -z z -p restarter/state " + DefaultService, 0, "offline\n"},
		{"svcprop -z z -p restarter/state " + singleUser, 0, "online\n"},
		{"svcs -H -o state " + baseline, 0, "online\n"},
		{"svcs -z z -H -o state svc:/absent:default", 1, "doesn't match any instances"},
	})
	h.Release(starting)
	h.online("z")
	z, _ := h.Zones.Get("z")
	h.answers([]line{{state, 0, "propolis-server\n"}, {both, 0, "online -\n"}})
	h.eventually("the server was told its address", func() bool {
		log, _ := os.ReadFile(filepath.Join(z.Config.root(), serviceLog))
		return string(log) == "127.0.0.1:12400 127.0.0.1 12400 z\n"
	})
	// A server that ends is restarted.
	check(syscall.Kill(z.ServerPID, syscall.SIGKILL))
	h.eventually("there is a new server", func() bool {
		now, _ := h.Zones.Get("z")
		return now.ServerPID != 0 && now.ServerPID != z.ServerPID
	})
}
