package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/golden"
)

// TestScripts runs the scripts of testdata/script: what commands print, and their exit codes,
// against a real server of the admin API. Besides testscript's own commands there are
//
//	sled NAME             an agent with these VMMs: see scriptSleds
//	api STATUS FILE       what the sled API answers from now on
//	asked                 prints what the sled API was asked, and what was killed and removed
//	terminal WIDTH[xHEIGHT] [color] [ascii], terminal none
//	variable NAME VALUE   of sledctl's environment
//	sledctl ARGS...       runs it; with <FILE first, that is its input, and <tty:FILE is one that is typed
//	code N                the exit code of the last sledctl
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: golden.Updates(), RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			s := &script{vars: map[string]string{}}
			env.Values[scriptKey{}] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sled": cmdSled, "api": cmdAPI, "asked": cmdAsked, "terminal": cmdTerminal, "variable": cmdVariable,
			"sledctl": cmdSledctl, "code": cmdCode,
		},
	})
}

type scriptKey struct{}

// A script is the state of one.
type script struct {
	agent         *admintest.Agent
	socket        string
	api           *sledAPI
	width, height int // 0 without a terminal
	vars          map[string]string
	code          int
}

func scriptOf(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// scriptSleds are the sleds that a script can have.
var scriptSleds = map[string]func() *admintest.Agent{
	"none":  func() *admintest.Agent { return admintest.New(theAgent()) },
	"well":  func() *admintest.Agent { return admintest.New(theAgent(), well()) },
	"two":   func() *admintest.Agent { return admintest.New(theAgent(), well(), stopping()) },
	"whole": func() *admintest.Agent { return admintest.New(theAgent(), wholeSled()...) },
	// past is whole, with VMMs that have ended.
	"past": func() *admintest.Agent {
		agent := admintest.New(theAgent(), wholeSled()...)
		for _, s := range slices.Backward(past()) {
			agent.PutEnded(s)
		}
		return agent
	},
	"standalone": func() *admintest.Agent {
		about := theAgent()
		about.Nexus = nil
		return admintest.New(about, well())
	},
	"broken": func() *admintest.Agent {
		about := theAgent()
		about.Troubles = []string{"listen on 127.0.0.1:1: address in use"}
		return admintest.New(about)
	},
	"lost": func() *admintest.Agent {
		about := theAgent()
		about.Nexus, about.NexusDNS = nil, []string{"[fd00::1]:53"}
		return admintest.New(about)
	},
	"zones":         func() *admintest.Agent { return zonesAgent("") },
	"zones-partial": func() *admintest.Agent { return zonesAgent("list zones: zoneadm list: exit status 1") },
	// A drain of these ends at once.
	"drains":       func() *admintest.Agent { return drainingAgent(vmm.WireDestroyed) },
	"drains-badly": func() *admintest.Agent { return drainingAgent(vmm.WireFailed) },
}

func drainingAgent(as vmm.WireState) *admintest.Agent {
	s := &sled{agent: admintest.New(theAgent(), well(), stopping(), twin(), ended(), failed1())}
	s.agent.OnDrain(func() {
		s.ends(well(), vmm.WireDestroyed, "the guest stopped")
		s.ends(twin(), as, "its zone ended")
		s.ends(stopping(), vmm.WireDestroyed, "stop deadline passed")
	})
	return s.agent
}

// zonesAgent has a zone of a VMM and zones of none.
func zonesAgent(trouble string) *admintest.Agent {
	agent := admintest.New(theAgent(), stopping())
	owner := stopping()
	orphan := func(end string, state string, since time.Duration, kept string) vmm.ZoneStatus {
		return vmm.ZoneStatus{Name: "oxz_propolis-server_" + end, State: state, Since: ago(since), Orphan: true, Kept: kept}
	}
	resists := orphan(lateID.String(), "shutting_down", 5*time.Minute, "")
	resists.By, resists.Removal = "operator alice", &vmm.RemovalStatus{Begun: ago(5 * time.Minute), Rung: "halt", ZoneState: "shutting_down",
		Attempt: 4, LastError: "zoneadm halt: no end within 30s; left to zoneadmd"}
	agent.SetZones(vmm.ZoneList{At: ago(2 * time.Second), Trouble: trouble, Zones: []vmm.ZoneStatus{
		{Name: owner.Zone, State: "running", Since: ago(76 * time.Hour), VMM: &owner.ID, Hostname: owner.Hostname},
		orphan(stuckID.String(), "running", 5*time.Hour, "zones.orphans is keep"),
		orphan(silentID.String(), "installed", time.Minute, "the ledger is new or was repaired: the record of its VMM may be lost"),
		resists,
	}})
	return agent
}

func cmdSled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || scriptSleds[args[0]] == nil {
		ts.Fatalf("usage: sled NAME; NAME is one of %q", slices.Sorted(maps.Keys(scriptSleds)))
	}
	s := scriptOf(ts)
	s.agent = scriptSleds[args[0]]()
	path, remove, err := admintest.ShortPath()
	ts.Check(err)
	ts.Defer(remove)
	s.api = startSledAPI()
	ts.Defer(s.api.Close)
	about := s.agent.About()
	about.API = s.api.URL
	s.agent.SetAbout(about)
	stop, err := admintest.Start(s.agent, path, admin.Options{PropolisVersion: "6.0.0", Sled: s.api.Config.Handler,
		Process: &process{level: admin.LogLevel{Level: "info", Configured: "info"}}})
	ts.Check(err)
	ts.Defer(func() {
		if err := stop(); err != nil {
			ts.Logf("shut down: %v", err)
		}
	})
	s.socket = path
}

func cmdAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: api STATUS FILE")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	scriptOf(ts).api.answers(status, json.RawMessage(ts.ReadFile(args[1])))
}

func cmdAsked(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	for _, r := range s.api.requests() {
		fmt.Fprintln(ts.Stdout(), strings.TrimSpace(r.Method+" "+r.Path+" "+r.Version+" "+r.Body))
	}
	for _, id := range s.agent.Killed() {
		fmt.Fprintln(ts.Stdout(), "kill "+id.String())
	}
	for _, name := range s.agent.Removed() {
		fmt.Fprintln(ts.Stdout(), "remove zone "+name)
	}
}

func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	s.width, s.height = 0, 0
	maps.DeleteFunc(s.vars, func(name, _ string) bool { return slices.Contains([]string{"LANG", "NO_COLOR", "TERM"}, name) })
	if args[0] == "none" {
		return
	}
	width, height, _ := strings.Cut(args[0], "x")
	s.width, _ = strconv.Atoi(width)
	s.height, _ = strconv.Atoi(height)
	s.vars["TERM"], s.vars["LANG"], s.vars["NO_COLOR"] = "xterm", "en_US.UTF-8", "1"
	for _, what := range args[1:] {
		switch what {
		case "color":
			delete(s.vars, "NO_COLOR")
		case "ascii":
			s.vars["LANG"] = "C"
		default:
			ts.Fatalf("terminal: %s?", what)
		}
	}
}

func cmdVariable(ts *testscript.TestScript, neg bool, args []string) {
	scriptOf(ts).vars[args[0]] = args[1]
}

func cmdSledctl(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	var out, stderr bytes.Buffer
	env := testEnv(&out, &stderr, inBerlin, func(e *Env) {
		e.Getenv = func(name string) string { return s.vars[name] }
		e.IsTerminal, e.Width, e.Height = s.width > 0, s.width, s.height
		e.Version = "0.1.0"
	})
	if len(args) > 0 && strings.HasPrefix(args[0], "<") {
		file, typed := strings.CutPrefix(args[0][1:], "tty:")
		env.In = strings.NewReader(ts.ReadFile(file))
		if typed {
			env.Raw = func() (func(), error) { return func() {}, nil }
		}
		args = args[1:]
	}
	if s.socket != "" {
		args = append([]string{"--socket", s.socket}, args...)
	}
	s.code = Run(context.Background(), args, env)
	places := []string{ts.MkAbs("."), "$WORK"}
	if s.socket != "" {
		places = append(places, s.socket, "$SOCKET", s.api.URL, "http://[::1]:12345")
	}
	clean := strings.NewReplacer(places...)
	_, _ = io.WriteString(ts.Stdout(), clean.Replace(out.String()))
	_, _ = io.WriteString(ts.Stderr(), clean.Replace(stderr.String()))
	if failed := s.code != exitDone; failed != neg {
		ts.Fatalf("exit %d\n%s%s", s.code, out.String(), stderr.String())
	}
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if s := scriptOf(ts); len(args) != 1 || (args[0] == strconv.Itoa(s.code)) == neg {
		ts.Fatalf("the exit code is %d, not %s", s.code, args[0])
	}
}
