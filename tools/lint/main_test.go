package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
)

const module = "github.com/sledagent/sledagent/"

// Each row is a file and an import that a rule denies, or one that is similar to a denied one
// and allowed.
func TestImportRules(t *testing.T) {
	t.Parallel()
	s, dir, err := load()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := s.depguard(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, imports, denied string }{
		{"agent/a_test.go", "cmd/nexus-sim", "nothing imports a command"},
		{"internal/x/a.go", "cmd/sledctl/internal/view", "nothing imports a command"},
		{"cmd/sledctl/a.go", "cmd/sledctl/internal/view", ""},
		{"agent/a.go", "config", "only commands import config"},
		{"agent/a_test.go", "config", "only commands import config"},
		{"cmd/sled-agent/a.go", "config", ""},
		{"config/a_test.go", "config", ""},
		{"agent/runner/a.go", "zone/zonetest", "what exists for tests"},
		{"cmd/sled-agent/a.go", "zone/illumos/illumostest/internal/standin", "what exists for tests"},
		{"agent/runner/a_test.go", "zone/zonetest", ""},
		{"agent/agenttest/a.go", "zone/zonetest", ""},
		{"cmd/sled-agent/a.go", "propolis/sim", "the simulator is for tests"},
		{"cmd/propolis-sim/a.go", "propolis/sim", ""},
		{"propolis/sim/x/a.go", "propolis/sim", ""},
		{"agent/runner/a_test.go", "propolis/sim", ""},
		{"agent/vmm/a.go", "zone", "agent/vmm imports nothing else"},
		{"agent/vmm/a_test.go", "internal/golden", ""},
		{"zone/a.go", "zone/process", "import nothing of the module but"},
		{"zone/a_test.go", "zone/zonetest", ""},
		{"zone/process/a.go", "zone", ""},
		{"zone/process/internal/x/a.go", "zone/process", ""},
		{"zone/process/a.go", "watchdog", "nothing of the module but zone"},
		{"zone/process/internal/x/a.go", "internal/plain", ""},
		{"zone/a.go", "internal/plain", ""},
		{"agent/vmm/a.go", "internal/plain", "agent/vmm imports nothing else"},
		{"agent/a.go", "agent/admin", "knows nothing of its APIs"},
		{"propolis/a.go", "agent/vmm", "import nothing of the module but"},
		{"propolis/sim/a.go", "propolis", "shares nothing with the client"},
		{"propolis/server/a.go", "propolis", "shares nothing with the client"},
		{"propolis/sim/a.go", "propolis/server", ""},
		{"propolis/sim/a.go", "propolis/server/servertest", "what exists for tests"},
		{"propolis/a.go", "propolis/server", "import nothing of the module but"},
		{"cmd/propolis-sim/a.go", "propolis/server", ""},
		{"agent/a.go", "propolis/server", "a client of Propolis's API"},
		{"propolis/sim/a.go", "internal/dropshot", ""},
		{"propolis/sim/a.go", "agent/vmm", "imports only what is beside it"},
		{"watchdog/a.go", "zone", "import nothing of the module but"},
		{"config/a.go", "zone", "import nothing of the module but"},
		{"agent/a.go", "agent/runner", ""},
		{"agent/a.go", "zone", ""},
		{"agent/a.go", "zone/process", "commands choose the zone backend"},
		{"agent/runner/a.go", "zone/process", "commands choose the zone backend"},
		{"agent/api/a.go", "agent", "through interfaces of their own"},
		{"agent/admin/a.go", "agent/runner", "through interfaces of their own"},
		{"agent/api/a.go", "agent/vmm", ""},
	} {
		var got []string
		set := token.NewFileSet()
		code := fmt.Sprintf("package a\nimport _ %q\n", module+tt.imports)
		file, err := parser.ParseFile(set, filepath.Join(dir, tt.file), code, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		_, err = rules.Run(&analysis.Pass{Fset: set, Files: []*ast.File{file},
			Report: func(d analysis.Diagnostic) { got = append(got, d.Message) }})
		if text := strings.Join(got, "; "); err != nil || (tt.denied == "") != (text == "") || !strings.Contains(text, tt.denied) {
			t.Errorf("%s imports %s: said %q, %v, want %q", tt.file, tt.imports, text, err, tt.denied)
		}
	}
}
