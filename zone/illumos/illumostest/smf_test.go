package illumostest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Each row spoils the profile; the service then is in maintenance for the
// reason in its log, without a server.
func TestProfile(t *testing.T) {
	good := profile("ox0", "fd00::1", "::1", "12400")
	for _, v := range []struct{ name, old, new, log string }{
		{"no declaration", `<?xml version="1.0" encoding="UTF-8"?>`, "", "no XML declaration"},
		{"no document type", "<!DOCTYPE service_bundle", "<!DOCTYPE bundle", "not validated"},
		{"no profile", `type="profile"`, `type="manifest"`, "no profile"},
		{"not escaped", `value="fd00::1"`, `value="a & b"`, "invalid character entity"},
		{"not closed", "</service_bundle>", "", "unexpected EOF"},
		{"unknown element", "</instance>", "<template/></instance>", "not allowed"},
		{"unknown attribute", `enabled="true"`, `enabled="true" colour="red"`, "no attribute colour"},
		{"lacks an attribute", ` version="1"`, "", "lacks version"},
		{"wrong type", `type="astring" value="12400"`, `type="count" value="12400"`, "astring"},
		{"stray text", "</instance>", "x</instance>", "out of place"},
		{"two bundles", "</service_bundle>", "</service_bundle><service_bundle/>", "after the bundle"},
		{"another service", "system/illumos/propolis-server", "system/other", "datalink is not set"},
		{"datalink unknown", `value="ox0"`, `value="unknown"`, "datalink is not set"},
		{"gateway unknown", `value="fd00::1"`, `value="unknown"`, "gateway is not set"},
		{"link of nobody", `value="ox0"`, `value="ox1"`, "cannot use"},
		{"bad gateway", `value="fd00::1"`, `value="gw"`, "cannot use"},
		{"bad address", `value="::1"`, `value="localhost"`, "cannot use"},
		{"bad port", `value="12400"`, `value="70000"`, "cannot use"},
	} {
		t.Run(v.name, func(t *testing.T) {
			h := install(t, Options{})
			h.installed("z", "ox0")
			spoilt := strings.Replace(good, v.old, v.new, 1)
			if spoilt == good {
				t.Fatalf("there is no %q", v.old)
			}
			h.putProfile("z", spoilt)
			h.ok("zoneadm", "-z", "z", "boot")
			h.Eventually("maintenance", func() bool { return h.service("z").State == "maintenance" })
			log, err := os.ReadFile(strings.TrimSpace(h.ok("svcs", "-z", "z", "-L", DefaultService)))
			if err != nil || !strings.Contains(string(log), v.log) {
				t.Errorf("the log says %q, %v; want %q", log, err, v.log)
			}
			h.want(0, "Reason: Start method exited with", "svcs", "-z", "z", "-xv")
		})
	}
}

func TestProfileDisabledOrAbsent(t *testing.T) {
	for want, text := range map[string]string{
		"disabled":    strings.Replace(profile("ox0", "::1", "::1", "1"), `enabled="true"`, `enabled="false"`, 1),
		"maintenance": "",
	} {
		t.Run(want, func(t *testing.T) {
			h := install(t, Options{})
			h.installed("z", "ox0")
			h.putProfile("z", text)
			if text == "" {
				if err := os.Remove(filepath.Join(h.ZoneRoot(), "z/root/var/svc/profile/site.xml")); err != nil {
					t.Fatal(err)
				}
			}
			h.ok("zoneadm", "-z", "z", "boot")
			h.Eventually(want, func() bool { return h.service("z").State == want })
		})
	}
}

func TestServicesOverTime(t *testing.T) {
	h := install(t, Options{RepositoryTime: patience * 10})
	h.installed("z", "ox0")
	h.want(1, "not running", "svcs", "-z", "z", "-H", "-o", "state", DefaultService)
	h.want(1, "does not exist", "svcprop", "-z", "absent", "-p", "restarter/state", DefaultService)
	h.ok("zoneadm", "-z", "z", "boot")
	h.want(1, "repository server unavailable", "svcprop", "-z", "z", "-p", "restarter/state", DefaultService)
}

func TestServices(t *testing.T) {
	h := install(t, Options{Services: []string{"svc:/oxide/sled-agent:default"}})
	addr := h.installed("z", "ox0")
	offline := h.Inject(Fault{Do: Offline, Object: "z"})
	h.ok("zoneadm", "-z", "z", "boot")
	offline.WaitStruck(1)
	for args, want := range map[string]string{
		"svcs -z z -H -o state,nstate " + DefaultService:                     "offline online\n",
		"svcs -z z -H -o state " + DefaultService:                            "offline*\n",
		"svcprop -z z -p restarter/state " + DefaultService:                  "offline\n",
		"svcprop -z z -p restarter/state svc:/milestone/single-user:default": "online\n",
		"svcs -z z -H -o state,nstate svc:/milestone/single-user:default":    "online -\n",
		"svcprop -z z -p restarter/next_state milestone/single-user":         "none\n",
		"svcs -H -o state svc:/oxide/sled-agent:default":                     "online\n",
		"svcprop -p restarter/state svc:/oxide/sled-agent:default":           "online\n",
		"svcs -z z -H -o fmri system/illumos/propolis-server":                DefaultService + "\n",
		"zlogin z svcs -H -o state svc:/milestone/single-user:default":       "online\n",
		"zlogin z echo hi": "hi\n",
		"svcs -z z -H -o inst,svc svc:/milestone/single-user:default":   "default milestone/single-user\n",
		"svcs -z z -L svc:/system/illumos/propolis-server:default":      h.ZoneRoot() + "/z/root/var/svc/log/system-illumos-propolis-server:default.log\n",
		"svccfg -z z -s system/illumos/propolis-server:default refresh": "",
	} {
		words := strings.Fields(args)
		if got := h.ok(words[0], words[1:]...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	h.want(1, "doesn't match any instances", "svcs", "-z", "z", "svc:/absent:default")
	h.want(2, "Unknown column", "svcs", "-z", "z", "-o", "colour")
	offline.Release()
	h.online("z")
	if got := h.ok("svcprop", "-z", "z", "-p", "config/listen_port", DefaultService); !strings.HasSuffix(addr, ":"+strings.TrimSpace(got)) {
		t.Errorf("port %q, want that of %s", got, addr)
	}
	silent := h.Inject(Fault{Do: Silent, Object: "z"})
	h.want(1, "repository server unavailable", "svcs", "-z", "z", "-xv")
	silent.Release()
	h.want(0, "propolis-server", "svcs", "-z", "z", "-p", DefaultService)
}

func TestSvcadm(t *testing.T) {
	h := install(t, Options{Services: []string{"svc:/oxide/sled-agent:default"}})
	h.installed("z", "ox0")
	broken := h.Inject(Fault{Do: Maintenance, Object: "z", Text: "Method failed."})
	h.ok("zoneadm", "-z", "z", "boot")
	h.Eventually("maintenance", func() bool { return h.service("z").State == "maintenance" })
	h.want(3, "maintenance", "svcadm", "-z", "z", "enable", "-s", DefaultService)
	state := func(state string) {
		t.Helper()
		h.Eventually(state, func() bool { return h.service("z").State == state })
	}
	broken.WaitStruck(2) // it was tried again, and is in maintenance again soon
	state("maintenance")
	broken.Release()
	h.ok("svcadm", "-z", "z", "clear", DefaultService)
	state("online")
	h.want(1, "not in a maintenance", "svcadm", "-z", "z", "clear", DefaultService)
	h.ok("svcadm", "-z", "z", "disable", DefaultService)
	state("disabled")
	h.ok("svcadm", "-z", "z", "enable", DefaultService)
	state("online")
	h.ok("svcadm", "-z", "z", "mark", "-I", "maintenance", DefaultService)
	state("maintenance")
	h.ok("svcadm", "mark", "degraded", "svc:/oxide/sled-agent:default")
	h.want(0, "degraded", "svcs", "-H", "svc:/oxide/sled-agent:default")
	h.ok("svcadm", "clear", "svc:/oxide/sled-agent:default")
	h.want(2, "subcommand", "svcadm", "explode", "x")
}

// A server that ends is started again, until it has done so too often.
func TestRestarts(t *testing.T) {
	h := install(t, Options{Restarts: 2})
	h.running("z", "ox0")
	server := 0
	for range 3 {
		h.Eventually("there is a new server", func() bool {
			z, _ := h.Zone("z")
			if z.ServerPID == 0 || z.ServerPID == server {
				return false
			}
			server = z.ServerPID
			return true
		})
		if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	h.Eventually("maintenance", func() bool { return h.service("z").Reason == "Restarting too quickly." })
}

func TestServerArgv(t *testing.T) {
	h := install(t, Options{Server: []string{"/bin/sh", "-c", "echo {addr} {ip} {port} {zone}; exec sleep 1000"}})
	h.running("z", "ox0")
	z, _ := h.Zone("z")
	h.online("z")
	log := filepath.Join(h.ZoneRoot(), "z/root/var/svc/log/system-illumos-propolis-server:default.log")
	h.Eventually("the server has written its log", func() bool { text, _ := os.ReadFile(log); return len(text) > 0 })
	text, err := os.ReadFile(log)
	if z, _ = h.Zone("z"); err != nil {
		t.Fatal(err)
	}
	port := z.Properties["config/listen_port"]
	if want := "127.0.0.1:" + port + " 127.0.0.1 " + port + " z\n"; string(text) != want {
		t.Errorf("the server was told %q, want %q", text, want)
	}
}
