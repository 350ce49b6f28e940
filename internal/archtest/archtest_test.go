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

// Each row is a file that breaks one rule, or nearly does.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ file, code, want string }{
		{"agent/vmm/a.go", `import "os"`, "agent/vmm/a.go:2: imports os: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "net/http"`, "agent/vmm/a.go:2: imports net/http: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "math/rand/v2"`, "agent/vmm/a.go:2: imports math/rand/v2: the state machine is a function: it does no I/O and depends on its arguments alone"},
		{"agent/vmm/a.go", `import "github.com/rs/zerolog"`, "agent/vmm/a.go:2: imports github.com/rs/zerolog: the state machine uses nothing but the standard library and uuid"},
		{"agent/vmm/a.go", `import ("errors"; "fmt"; "net/netip"; "time"; "github.com/google/uuid")`, ""},
		{"agent/vmm/a_test.go", `import "os"`, ""},
		{"agent/vmm/a.go", "import \"time\"\nvar now = time.Now()", "agent/vmm/a.go:3: uses time.Now: the state machine depends on its arguments alone"},
		{"agent/vmm/a.go", "import id \"github.com/google/uuid\"\nvar made = id.New()", "agent/vmm/a.go:3: uses id.New: the state machine depends on its arguments alone"},
		{"agent/vmm/a.go", "import \"time\"\nvar second = time.Second", ""},

		{"agent/vmm/a.go", "func f() {\ngo f() }", "agent/vmm/a.go:3: starts a goroutine: the state machine is a function"},

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
			t.Errorf("%s with %s\ngot   %q\nwant  %q", v.file, v.code, got, v.want)
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

// parsed parses a file with this code after its package clause.
func parsed(t *testing.T, name, code string) *file {
	t.Helper()
	dir := name[:strings.LastIndexByte(name, '/')]
	f, err := parseFile(name, name, "package "+dir[strings.LastIndexAny(dir, "/-")+1:]+"\n"+code)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
