package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// packageDocs checks that every package says what it is, in a comment that
// begins as godoc wants it.
func packageDocs(files []*file) []string {
	first, documented := make(map[string]*file), make(map[string]bool)
	for _, f := range files {
		if strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		if first[f.dir()] == nil {
			first[f.dir()] = f
		}
		want := "Package " + f.tree.Name.Name + " "
		if f.tree.Name.Name == "main" {
			want = "Command " + path.Base(f.dir()) + " "
		}
		if strings.HasPrefix(strings.ReplaceAll(f.tree.Doc.Text(), "\n", " "), want) {
			documented[f.dir()] = true
		}
	}
	var broken []string
	for dir, f := range first {
		if !documented[dir] {
			broken = append(broken, f.name+": package "+f.tree.Name.Name+" has no package comment in any of its files")
		}
	}
	slices.Sort(broken)
	return broken
}

// vague are names that say nothing of what a package is for.
var vague = []string{"base", "common", "helper", "helpers", "interfaces", "lib", "misc", "shared", "structs", "types",
	"util", "utils"}

func packageName(f *file) []string {
	for _, name := range []string{f.tree.Name.Name, path.Base(f.dir())} {
		if slices.Contains(vague, name) {
			return []string{f.name + ": package name " + name + " does not say what it is for"}
		}
	}
	return nil
}

// impureCalls are functions that even a pure package could call, since it needs
// the rest of what their packages offer.
var impureCalls = map[string][]string{
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"time": {"After", "AfterFunc", "LoadLocation", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
		"Local"},
	"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7", "NewDCEGroup",
		"NewDCEPerson", "NewDCESecurity", "NodeID", "GetTime", "EnableRandPool"},
}

// purity checks that the state machine calls nothing whose result depends on
// more than its arguments.
func purity(f *file) []string {
	if f.dir() != "agent/vmm" || f.forTests() {
		return nil
	}
	var broken []string
	for imported, names := range impureCalls {
		local := f.nameOf(imported)
		if local == "" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isSelector(sel, local, names...) {
				broken = append(broken, f.at(sel.Pos())+": uses "+local+"."+sel.Sel.Name+
					": the state machine depends on its arguments alone")
			}
			return true
		})
	}
	slices.Sort(broken)
	return broken
}

// isSelector tells whether e is name.of for one of these names.
func isSelector(e ast.Expr, name string, of ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == name && slices.Contains(of, sel.Sel.Name)
}
