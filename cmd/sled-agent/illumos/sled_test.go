package illumos

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// prefix is what the names of the agent's zones begin with.
const prefix = "oxz_propolis-server_"

// patience is how long a test waits for what should happen soon. It is generous:
// what has a bound of its own is measured.
const patience = 30 * time.Second

type section = map[string]any

// A sled is a host with its agent and its Nexus.
type sled struct {
	*illumostest.Host
	*agent
	t      *testing.T
	dir    string
	config string
	nexus  *nexus
	admin  *admin.Client
	vms    []*vm
	// links and datasets are what the host had at first.
	links, datasets []string
}

// newSled makes a host. change, which may be nil, changes the configuration's
// table of zones. When the test ends, what is left of the VMMs is unregistered
// and the agent ended; then the host must be as it was.
func newSled(t *testing.T, change section) *sled {
	t.Helper()
	if !slow {
		t.Skip("part of make test-slow (SLOW_TESTS=1)")
	}
	dir, err := os.MkdirTemp("", "sled-illumos-") // Not t.TempDir: a socket's path has to be short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's directory: %v", err)
		}
	})
	l := &sled{t: t, dir: dir, Host: illumostest.Install(t, t.TempDir(), illumostest.Options{
		Server: []string{program("propolis-sim"), "run", "{addr}"},
		// Of the servers' family, for their gateway.
		Addresses: []illumostest.Address{{Name: "underlay0/sled4", Type: "static", Addr: "127.0.0.1/8"}},
	})}
	l.links, l.datasets = names(l.Links()), names(l.Datasets())
	l.nexus = newNexus(t, l.Host)
	l.writeConfig(change)
	t.Cleanup(l.clean)
	return l
}

// start starts an agent and waits until it has loaded what an earlier one knew.
func (l *sled) start() *sled {
	l.t.Helper()
	l.agent = startAgent(l.t, l.config)
	l.admin = admin.NewClient(filepath.Join(l.dir, "state", "admin.sock"))
	l.until("the agent knows its VMMs", func() bool {
		status, _ := l.ask("GET", "http://"+l.agent.addr+"/vmms/"+uuid.NewString()+"/state", nil)
		return status == http.StatusNotFound
	})
	return l
}

// restart kills the agent and starts the next one.
func (l *sled) restart() {
	l.t.Helper()
	l.end(l.t, syscall.SIGKILL)
	l.admin.Close()
	l.start()
}

func (l *sled) writeConfig(change section) {
	l.t.Helper()
	zones := section{"backend": "illumos", "prefix": prefix, "illumos": section{"command_path": l.BinDir(),
		"zone_root": l.ZoneRoot(), "image": l.Images(), "vmmctl": ""}}
	maps.Copy(zones, change)
	text, err := toml.Marshal(section{
		"state_dir": filepath.Join(l.dir, "state"),
		"api":       section{"listen": "127.0.0.1:0"},
		"log":       section{"level": "debug", "format": "json"},
		"nexus":     section{"addresses": []string{l.nexus.URL}, "retry_initial": "20ms", "retry_max": "200ms"},
		"zones":     zones,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.config = filepath.Join(l.dir, "sled-agent.toml")
	if err := os.WriteFile(l.config, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// clean ends what the test has left and checks that nothing remains.
func (l *sled) clean() {
	l.ReleaseAll()
	if l.agent != nil {
		l.conclude()
	}
	l.nexus.judge(l.t)
	l.asItWas()
	if l.t.Failed() && l.agent != nil {
		l.t.Logf("the agent's log:\n%s", l.said())
	}
}

func (l *sled) conclude() {
	select {
	case <-l.exited:
		l.t.Errorf("the agent ended by itself, %v", l.cmd.ProcessState)
		return
	default:
	}
	for _, v := range l.vms {
		if !v.over {
			v.unregister()
		}
	}
	l.end(l.t, syscall.SIGTERM)
	l.admin.Close()
	if status := l.cmd.ProcessState.ExitCode(); status != 0 {
		l.t.Errorf("the agent ended with status %d", status)
	}
	if said := l.said(); strings.Contains(said, "panic") || strings.Contains(said, "DATA RACE") {
		l.t.Error("the agent's log tells of a panic or a race")
	}
}

// asItWas checks that nothing is left on the host (L). A zoneadmd outlives its
// zone for a moment.
func (l *sled) asItWas() {
	if zones := names(l.Zones()); len(zones) > 0 {
		l.t.Errorf("zones are left: %v", zones)
	}
	if diff := cmp.Diff(l.links, names(l.Links())); diff != "" {
		l.t.Errorf("datalinks (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(l.datasets, names(l.Datasets())); diff != "" {
		l.t.Errorf("datasets (-before +after):\n%s", diff)
	}
	l.until("no process of the host is left", func() bool { return len(l.Processes("")) == 0 })
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// until polls until is holds.
func (l *sled) until(what string, is func() bool) {
	l.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			l.t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}
