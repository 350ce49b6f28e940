package illumos

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testName matches the name of a test in traps.md.
var testName = regexp.MustCompile("^`((?:[a-z]+\\.)?Test[A-Za-z]+)`$")

// Each row of traps.md has a source and tests, and the tests exist.
func TestTrapsHaveTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("traps.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := make(map[string]bool)
	addTests(t, exist, ".", "")
	addTests(t, exist, "../../internal/command", "command.")
	addTests(t, exist, "../../internal/flight", "flight.")
	addTests(t, exist, "internal/parse", "parse.")
	addTests(t, exist, "../internal/rmtree", "rmtree.")
	rows := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || line == "| The host | Source | Test |" || line == "|---|---|---|" {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			t.Errorf("the row does not have three cells: %s", line)
			continue
		}
		for name := range strings.SplitSeq(cells[2], ", ") {
			if m := testName.FindStringSubmatch(name); m == nil || !exist[m[1]] {
				t.Errorf("test %s does not exist, in the row: %s", name, line)
			}
		}
	}
	if rows == 0 {
		t.Error("traps.md has no rows")
	}
}

// addTests adds the names of the tests in a directory with a prefix.
func addTests(t *testing.T, exist map[string]bool, dir, prefix string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				exist[prefix+fn.Name.Name] = true
			}
		}
	}
}
