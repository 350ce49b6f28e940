package archtest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArchitecture(t *testing.T) {
	t.Parallel()
	files, err := load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d files; is this the module's root?", len(files))
	}
	for _, broken := range violations(files) {
		t.Error(broken)
	}
}

// Each row is a file that breaks one rule, or that comes close and does not.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	ours := func(path string) string { return `import _ "` + module + "/" + path + `"` }
	for _, v := range []struct{ file, code, want string }{
		{"agent/vmm/a.go", `import "os"`, "agent/vmm/a.go:2: imports os: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "net/http"`, "agent/vmm/a.go:2: imports net/http: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "math/rand/v2"`, "agent/vmm/a.go:2: imports math/rand/v2: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "github.com/rs/zerolog"`, "agent/vmm/a.go:2: imports github.com/rs/zerolog: the state machine uses nothing but the standard library and uuid"},
		{"agent/vmm/a.go", ours("zone"), "agent/vmm/a.go:2: imports " + module + "/zone: agent/vmm imports nothing else of the module"},
		{"agent/vmm/a.go", `import ("errors"; "fmt"; "net/netip"; "time"; "github.com/google/uuid")`, ""},
		{"agent/vmm/a_test.go", `import "os"`, ""},
		{"agent/vmm/a.go", "import \"time\"\nvar now = time.Now()", "agent/vmm/a.go:3: uses time.Now: the state machine depends on its arguments alone"},
		{"agent/vmm/a.go", "import id \"github.com/google/uuid\"\nvar made = id.New()", "agent/vmm/a.go:3: uses id.New: the state machine depends on its arguments alone"},
		{"agent/vmm/a.go", "import \"time\"\nvar second = time.Second", ""},

		{"zone/a.go", ours("zone/process"), "zone/a.go:2: imports " + module + "/zone/process: zone imports nothing else of the module"},
		{"zone/process/a.go", ours("zone"), ""},
		{"zone/process/a.go", ours("watchdog"), "zone/process/a.go:2: imports " + module + "/watchdog: zone imports nothing else of the module"},
		{"zone/zonetest/a.go", ours("zone"), ""},
		{"zone/a_test.go", ours("zone/zonetest"), ""},
		{"propolis/a.go", ours("agent/vmm"), "propolis/a.go:2: imports " + module + "/agent/vmm: propolis imports nothing else of the module"},
		{"propolis/sim/a.go", ours("propolis"), ""},
		{"watchdog/a.go", ours("zone"), "watchdog/a.go:2: imports " + module + "/zone: watchdog imports nothing else of the module"},
		{"config/a.go", ours("zone"), "config/a.go:2: imports " + module + "/zone: config imports nothing else of the module"},

		{"cmd/sled-agent/a.go", ours("config"), ""},
		{"agent/a.go", ours("config"), "agent/a.go:2: imports " + module + "/config: only commands import config; pass on the values that are needed"},
		{"agent/a_test.go", ours("config"), "agent/a_test.go:2: imports " + module + "/config: only commands import config; pass on the values that are needed"},
		{"agent/a_test.go", ours("cmd/nexus-sim"), "agent/a_test.go:2: imports " + module + "/cmd/nexus-sim: nobody imports a command"},
		{"cmd/sledctl/a.go", ours("cmd/nexus-sim/x"), "cmd/sledctl/a.go:2: imports " + module + "/cmd/nexus-sim/x: nobody imports a command"},
		{"cmd/sledctl/a.go", ours("cmd/sledctl/x"), ""},

		{"agent/api/a.go", ours("agent"), "agent/api/a.go:2: imports " + module + "/agent: the APIs see the agent through interfaces of their own"},
		{"agent/admin/a.go", ours("agent/runner"), "agent/admin/a.go:2: imports " + module + "/agent/runner: the APIs see the agent through interfaces of their own"},
		{"agent/api/a.go", ours("agent/vmm"), ""},
		{"agent/a.go", ours("agent/runner"), ""},
		{"agent/runner/a.go", ours("zone/process"), "agent/runner/a.go:2: imports " + module + "/zone/process: commands choose the zone backend; the agent sees zone.Manager"},
		{"agent/runner/a.go", ours("zone/zonetest"), "agent/runner/a.go:2: imports " + module + "/zone/zonetest: what exists for tests stays in tests"},
		{"agent/runner/a_test.go", ours("zone/zonetest"), ""},
		{"agent/agenttest/a.go", ours("zone/zonetest"), ""},
		{"cmd/sled-agent/a.go", ours("propolis/sim"), "cmd/sled-agent/a.go:2: imports " + module + "/propolis/sim: the simulator is for tests and for cmd/propolis-sim"},
		{"cmd/propolis-sim/a.go", ours("propolis/sim"), ""},
		{"agent/runner/a_test.go", ours("propolis/sim"), ""},

		{"zone/common/a.go", "", "zone/common/a.go: package name common does not say what it is for"},

		{"zone/a_test.go", "import \"time\"\nfunc f() {\ntime.Sleep(1) }", "zone/a_test.go:4: sleeps outside of a synctest bubble; wait for what is to happen, or say why in a comment \"// sleep: ...\""},
		{"zone/a_test.go", "import clock \"time\"\nvar f = clock.Sleep", "zone/a_test.go:3: sleeps outside of a synctest bubble; wait for what is to happen, or say why in a comment \"// sleep: ...\""},
		{"zone/a_test.go", "import (\"time\"; \"testing/synctest\")\nfunc f() { synctest.Test(nil, func() {\ntime.Sleep(1) }) }", ""},
		{"zone/a_test.go", "import (\"time\"; \"testing/synctest\")\nfunc bubble(f func()) { synctest.Test(nil, f) }\nfunc g() { bubble(func() { time.Sleep(1) }) }", ""},
		{"zone/a_test.go", "import (\"time\"; \"testing/synctest\")\nfunc pass() { time.Sleep(1); synctest.Wait() }", ""},
		{"zone/a_test.go", "import (\"time\"; \"testing/synctest\")\nfunc f() { synctest.Test(nil, nil)\ntime.Sleep(1) }", "zone/a_test.go:4: sleeps outside of a synctest bubble; wait for what is to happen, or say why in a comment \"// sleep: ...\""},
		{"zone/a_test.go", "import \"time\"\nfunc f() {\ntime.Sleep(1) // sleep: the fault under test is slowness\n}", ""},
		{"zone/a_test.go", "import \"time\"\nfunc f() {\n// sleep: the fault under test\n// is slowness\ntime.Sleep(1)\n}", ""},
		{"zone/a_test.go", "import \"time\"\nfunc f() {\ntime.Sleep(1) // sleep: \n}", "zone/a_test.go:4: sleeps outside of a synctest bubble; wait for what is to happen, or say why in a comment \"// sleep: ...\""},
	} {
		f := parsed(t, v.file, v.code)
		var got []string
		for _, broken := range violations([]*file{f}) {
			if !strings.Contains(broken, "no package comment") {
				got = append(got, broken)
			}
		}
		if strings.Join(got, "\n") != v.want {
			t.Errorf("%s with %s\nsaid  %q\nwant  %q", v.file, v.code, got, v.want)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	t.Parallel()
	source := func(name, code string) *file {
		f, err := parseFile(name, name, code)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	got := packageDocs([]*file{
		source("zone/doc.go", "// Package zone says\n// what a zone is.\npackage zone"),
		source("zone/plan.go", "package zone"),
		source("cmd/sledctl/main.go", "// Command sledctl talks to the agent.\npackage main"),
		source("agent/x/x_test.go", "package x"),
		source("agent/api/api.go", "// Copyright of nobody.\npackage api"),
		source("cmd/nexus-sim/main.go", "// Package main is a command.\npackage main"),
	})
	want := []string{
		"agent/api/api.go: package api has no package comment in any of its files",
		"cmd/nexus-sim/main.go: package main has no package comment in any of its files",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// parsed makes a file out of the code below its package clause.
func parsed(t *testing.T, name, code string) *file {
	t.Helper()
	dir := name[:strings.LastIndexByte(name, '/')]
	f, err := parseFile(name, name, "package "+dir[strings.LastIndexAny(dir, "/-")+1:]+"\n"+code)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
