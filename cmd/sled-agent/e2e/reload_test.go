package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
)

// A reload applies what can change, by SIGHUP and by the admin API, names the rest, and
// touches no VMM. A configuration that is wrong changes nothing and says why.
func TestReload(t *testing.T) {
	manager := newServiceManager(t, true)
	h := newHarness(t, setup{manual: true, env: [][]string{manager.env(time.Minute)}})
	a := h.start()
	v := faults("ignore-stop").launch(h)
	pending := v.stop(longer)
	reload := func() (admin.Reloaded, error) { return h.admin.Reload(bounded(t)) }
	value := func(key string) any {
		t.Helper()
		c, err := h.admin.Config(bounded(t))
		must(t, err)
		return c.Values[key]
	}

	good := writeConfig(t, h.dir, h.config)
	if done, err := reload(); err != nil || len(done.Applied)+len(done.Restart) > 0 {
		t.Errorf("without a change: %+v, %v", done, err)
	}
	before := value("watchdog.stop_grace")
	text, err := os.ReadFile(good)
	must(t, err)
	must(t, os.WriteFile(good, append([]byte("log = 1\n"), text...), 0o600))
	if _, err := reload(); err == nil || !strings.Contains(err.Error(), filepath.Base(good)) || !strings.Contains(err.Error(), "log") {
		t.Errorf("a wrong configuration: %v", err)
	}
	a.logs(t, "configuration not reloaded", filepath.Base(good))
	if value("watchdog.stop_grace") != before {
		t.Error("a wrong configuration was applied")
	}

	h.config["watchdog"] = section{"stop_grace": "90s", "max_stop_grace": "2m"}
	h.config["evidence"] = section{"keep": "1h"}
	h.config["log"] = section{"level": "debug", "format": "json"}
	h.config["vmm_reservoir"] = section{"percent": 7}
	writeConfig(t, h.dir, h.config)
	a.signal(t, syscall.SIGHUP)
	a.logs(t, "configuration reloaded", `"SIGHUP"`, "watchdog.stop_grace", "vmm_reservoir.percent")
	if got := value("watchdog.stop_grace"); got != "1m30s" {
		t.Errorf("stop_grace is %v", got)
	}
	if got := value("vmm_reservoir.percent"); got != 0. {
		t.Errorf("what needs a restart is in force: %v", got)
	}
	if level, err := h.admin.LogLevel(bounded(t)); err != nil || level.Level != "debug" || level.Configured != "debug" {
		t.Errorf("the log level is %+v, %v", level, err)
	}
	done, err := reload()
	if err != nil || len(done.Applied) > 0 || !slices.Equal(done.Restart, []string{"vmm_reservoir.percent"}) {
		t.Errorf("the second time: %+v, %v", done, err)
	}
	var said []string
	for m := manager.next(waitLimit); m != ""; m = manager.next(100 * time.Millisecond) {
		said = append(said, m)
	}
	i := slices.IndexFunc(said, func(m string) bool { return strings.HasPrefix(m, "RELOADING=1\nMONOTONIC_USEC=") })
	if i < 0 || !slices.Contains(said[i:], "READY=1") || !slices.Contains(said[:i], "READY=1") {
		t.Errorf("the service manager received %q", said)
	}

	other := h.launch()
	other.stop(never)
	v.removedAtDeadline(pending)
	v.endsDestroyed()
	other.endsDestroyed()
}
