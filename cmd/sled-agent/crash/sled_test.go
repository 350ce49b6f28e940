package crash

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// section is a table of the configuration file.
type section = map[string]any

// A setup says what is special about one test's sled. The zero value is a
// healthy one.
type setup struct {
	// modes are faults that every Propolis server begins with.
	modes []string
	// orphans is zones.orphans.
	orphans string
	// lives gives each agent of the sled its environment, one after the other;
	// those after the last have none.
	lives [][]string
	// program is the agent's executable.
	program string
	// wrapper is a command that becomes the agent.
	wrapper []string
	// nexus and propolis are keys of those sections.
	nexus, propolis section
}

// A sled is a host with its agents, one after the other, its Nexus and its VMMs.
type sled struct {
	t      testing.TB
	setup  setup
	dir    string
	addr   string
	config string
	nexus  *nexussim.Server
	admin  *admin.Client
	client *http.Client

	// gate is held by whoever starts and ends agents.
	gate sync.Mutex

	mu     sync.Mutex
	agents []*agent
	downs  []outage
	vms    []*vm
}

// An outage is a time in which no agent has served.
type outage struct{ from, to time.Time }

// given out so far, of the addresses that something listens at.
var addresses atomic.Uint32

// freeAddr returns an address of the loopback network that nothing else uses,
// and nobody else is given when its owner dies.
func freeAddr(t testing.TB) netip.AddrPort {
	t.Helper()
	n, pid := addresses.Add(1), os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d:%d", 128+pid>>6&0x3f, pid&0x3f<<2|int(n>>8&3), n&0xff, 12400+n>>10)
	for _, addr := range []string{host, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		return netip.MustParseAddrPort(l.Addr().String())
	}
	t.Fatal("there is no free address")
	return netip.AddrPort{}
}

// newSled makes a sled and starts its first agent.
func newSled(t testing.TB, s setup) *sled {
	t.Helper()
	needsProc(t)
	dir, err := os.MkdirTemp("", "sled-crash-") // Not t.TempDir: a socket's path has to be short.
	if err != nil {
		t.Fatal(err)
	}
	if s.program == "" {
		s.program = trial.Path("sled-agent")
	}
	l := &sled{t: t, setup: s, dir: dir, addr: freeAddr(t).String(), nexus: nexussim.New(nexussim.Options{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	l.admin = admin.NewClient(filepath.Join(l.stateDir(), "admin.sock"))
	t.Cleanup(l.clean)
	if err := os.Mkdir(l.temp(), 0o700); err != nil {
		t.Fatal(err)
	}
	nexus, err := l.nexus.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.writeConfig("http://" + nexus)
	l.start()
	return l
}

func (l *sled) stateDir() string { return filepath.Join(l.dir, "state") }
func (l *sled) zonesDir() string { return filepath.Join(l.stateDir(), "zones") }
func (l *sled) temp() string     { return filepath.Join(l.dir, "tmp") }

func (l *sled) writeConfig(nexus string) {
	l.t.Helper()
	argv := []string{trial.Path("propolis-sim"), "run"}
	for _, mode := range l.setup.modes {
		argv = append(argv, "--mode", mode)
	}
	zones := section{"backend": "process", "process": section{"propolis": append(argv, "{addr}")}}
	if l.setup.orphans != "" {
		zones["orphans"] = l.setup.orphans
	}
	toNexus := section{"addresses": []string{nexus}, "retry_initial": "20ms", "retry_max": "200ms"}
	maps.Copy(toNexus, l.setup.nexus)
	text, err := toml.Marshal(section{
		"state_dir": l.stateDir(),
		"api":       section{"listen": l.addr},
		"log":       section{"level": "debug", "format": "json"},
		"nexus":     toNexus,
		"propolis":  l.setup.propolis,
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

// start starts the next agent and waits until it serves, or has died trying.
func (l *sled) start() {
	l.startBy(append(slices.Clone(l.setup.wrapper), l.setup.program, "run", "--config", l.config)...)
}

func (l *sled) startBy(argv ...string) {
	// The race detector's word is in the log at once; it need not wait for it at exit.
	env := []string{"TMPDIR=" + l.temp(), "GORACE=atexit_sleep_ms=0"}
	l.mu.Lock()
	if n := len(l.agents); n < len(l.setup.lives) {
		env = append(env, l.setup.lives[n]...)
	}
	l.mu.Unlock()
	a, err := startAgent(argv, env)
	if err != nil {
		l.t.Errorf("start the agent: %v", err)
		return
	}
	l.mu.Lock()
	l.agents = append(l.agents, a)
	l.mu.Unlock()
	select {
	case <-a.serving:
	case <-a.exited:
	case <-time.After(trial.Patience):
		l.t.Errorf("the agent does not serve after %v", trial.Patience)
	}
}

// now is the newest agent.
func (l *sled) now() *agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agents[len(l.agents)-1]
}

// keep starts a new agent whenever one has crashed, like a service manager,
// until stop is called, which waits for one that is being started.
func (l *sled) keep() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			a := l.now()
			select {
			case <-done:
				return
			case <-a.exited:
			}
			if !a.crashed() {
				l.t.Errorf("the agent ended by itself: %v", a.how)
				return
			}
			l.revive(a)
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

// revive starts a new agent in the place of one that has ended.
func (l *sled) revive(dead *agent) {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.now() != dead {
		return
	}
	for _, v := range l.made() {
		v.pin()
	}
	// What the dead agent has sent comes before what the next one sends.
	if err := l.nexus.Settle(trial.Bounded(l.t, trial.Patience)); err != nil {
		l.t.Error(err)
	}
	l.start()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.downs = append(l.downs, outage{dead.when, time.Now()})
}

// crash kills the agent and starts the next one.
func (l *sled) crash() {
	a := l.now()
	l.kill()
	l.revive(a)
}

// kill kills the agent.
func (l *sled) kill() {
	a := l.now()
	_ = a.cmd.Process.Kill() // It may have ended.
	<-a.exited
}

// terminate ends the agent in an orderly way.
func (l *sled) terminate() {
	l.t.Helper()
	a, asked := l.now(), time.Now()
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // It may have ended; its status will tell.
	select {
	case <-a.exited:
		if took := trial.Own(asked, time.Now()); took > 5*time.Second || a.how.ExitCode() != 0 {
			l.t.Errorf("after SIGTERM the agent ended with %v after %v", a.how, took)
		}
	case <-time.After(2 * trial.Patience):
		l.t.Error("the agent ignores SIGTERM")
		l.kill()
	}
}

// terminateAndStart ends the agent in an orderly way and starts the next one.
func (l *sled) terminateAndStart() {
	l.t.Helper()
	a := l.now()
	l.terminate()
	l.revive(a)
}

// drop forgets a VMM that is over, after it was looked for.
func (l *sled) drop(v *vm) {
	l.t.Helper()
	if left := cgroups(v.id.String()); len(left) > 0 {
		v.t.Errorf("VMM %s is over, and there is %q", v.id, left)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vms = slices.DeleteFunc(l.vms, func(o *vm) bool { return o == v })
}

// downtime is for how long no agent has served between two moments, but for one
// that is still being started.
func (l *sled) downtime(from, to time.Time) (sum time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.downs {
		begin, end := o.from, o.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		sum += max(0, end.Sub(begin))
	}
	return sum
}

func (l *sled) made() []*vm {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*vm(nil), l.vms...)
}
