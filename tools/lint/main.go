// Command lint applies the linters that .golangci.yml configures and that go vet and
// staticcheck lack, for "go vet -vettool". It exists for speed: golangci-lint, which uses the
// same file, takes five and a half minutes of processor time to build, most of it for linters
// that are not used here.
//
// It supports only the settings that the file uses, and no exceptions by comment or path.
package main

import (
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"codeberg.org/polyfloyd/go-errorlint/errorlint"
	"github.com/OpenPeeDeeP/depguard/v2"
	"github.com/ashanbrown/forbidigo/v2/forbidigo"
	"github.com/golangci/misspell"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/analysis/passes/modernize"
	"golang.org/x/tools/go/analysis/unitchecker"
	"golang.org/x/tools/go/packages"
	"mvdan.cc/unparam/check"
)

// settings is the part of .golangci.yml that this program uses.
type settings struct {
	Linters struct {
		Settings struct {
			Depguard struct {
				Rules map[string]struct {
					ListMode string `yaml:"list-mode"`
					Files    []string
					Allow    []string
					Deny     []struct{ Pkg, Desc string }
				}
			}
			Forbidigo struct {
				Forbid []struct{ Pattern, Msg string }
			}
		}
	}
}

func main() {
	s, dir, err := load()
	if err == nil {
		var all []*analysis.Analyzer
		if all, err = s.analyzers(dir); err == nil {
			unitchecker.Main(all...)
		}
	}
	fmt.Fprintln(os.Stderr, "lint:", rules, err)
	os.Exit(1)
}

// root is the directory of .golangci.yml, and rules is a checksum of that file. The linker sets
// both: go vet runs this program in each package's directory and caches its output until the
// program changes. It does not know which other files the program reads.
var root, rules = "../..", ""

func load() (s settings, dir string, err error) {
	if dir, err = filepath.Abs(root); err != nil {
		return s, "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, ".golangci.yml"))
	if err != nil {
		return s, "", err
	}
	err = yaml.Unmarshal(text, &s)
	return s, dir, err
}

func (s settings) analyzers(dir string) ([]*analysis.Analyzer, error) {
	imports, err := s.depguard(dir)
	if err != nil {
		return nil, err
	}
	words := &misspell.Replacer{Replacements: misspell.DictMain}
	words.Compile()
	return append(modernize.Suite, imports, errorlint.NewAnalyzer(),
		perPackage("forbidigo", s.forbidigo),
		perPackage("misspell", func(pass *analysis.Pass) error { return spell(pass, words) }),
		perPackage("unparam", unparam, buildssa.Analyzer)), nil
}

func perPackage(name string, run func(*analysis.Pass) error, needs ...*analysis.Analyzer) *analysis.Analyzer {
	return &analysis.Analyzer{Name: name, Doc: name, Requires: needs,
		Run: func(pass *analysis.Pass) (any, error) { return nil, run(pass) }}
}

func (s settings) depguard(dir string) (*analysis.Analyzer, error) {
	rules := depguard.LinterSettings{}
	for name, r := range s.Linters.Settings.Depguard.Rules {
		list := &depguard.List{ListMode: r.ListMode, Allow: r.Allow, Deny: map[string]string{}}
		for _, pattern := range r.Files {
			list.Files = append(list.Files, strings.ReplaceAll(pattern, "${base-path}", filepath.ToSlash(dir)))
		}
		for _, d := range r.Deny {
			list.Deny[d.Pkg] = d.Desc
		}
		rules[name] = list
	}
	return depguard.NewAnalyzer(&rules)
}

func (s settings) forbidigo(pass *analysis.Pass) error {
	var patterns []string
	for _, f := range s.Linters.Settings.Forbidigo.Forbid {
		patterns = append(patterns, fmt.Sprintf("{p: %q, msg: %q}", f.Pattern, f.Msg))
	}
	linter, err := forbidigo.NewLinter(patterns)
	if err != nil {
		return err
	}
	for _, file := range pass.Files {
		issues, err := linter.RunWithConfig(forbidigo.RunConfig{Fset: pass.Fset}, file)
		if err != nil {
			return err
		}
		for _, i := range issues {
			pass.Reportf(i.Pos(), "%s", i.Details())
		}
	}
	return nil
}

func spell(pass *analysis.Pass, words *misspell.Replacer) error {
	for _, file := range pass.Files {
		f := pass.Fset.File(file.Pos())
		text, err := pass.ReadFile(f.Name())
		if err != nil {
			return err
		}
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		_, diffs := words.Replace(string(text))
		for _, d := range diffs {
			pass.Reportf(f.LineStart(d.Line)+token.Pos(d.Column), "%q is a misspelling of %q", d.Original, d.Corrected)
		}
	}
	return nil
}

func unparam(pass *analysis.Pass) error {
	c := &check.Checker{}
	c.Packages([]*packages.Package{{Fset: pass.Fset, Syntax: pass.Files, Types: pass.Pkg, TypesInfo: pass.TypesInfo}})
	c.ProgramSSA(pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).Pkg.Prog)
	issues, err := c.Check()
	for _, i := range issues {
		pass.Reportf(i.Pos(), "%s", i.Message())
	}
	return err
}
