package archtest

import (
	"go/ast"
	"slices"
	"strings"
)

// impureCalls are forbidden functions of packages that a pure package may import.
var impureCalls = map[string][]string{
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"time": {"After", "AfterFunc", "LoadLocation", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
		"Local"},
	"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7", "NewDCEGroup",
		"NewDCEPerson", "NewDCESecurity", "NodeID", "GetTime", "EnableRandPool"},
}

// purity checks that the state machine imports and calls nothing that does I/O
// or whose result depends on more than its arguments, and starts no goroutine.
func purity(f *file) []string {
	if f.dir() != "agent/vmm" || strings.HasSuffix(f.name, "_test.go") {
		return nil
	}
	var broken []string
	for _, imp := range f.imports() {
		if reason := whyNotPure(imp.path); reason != "" {
			broken = append(broken, imp.at+": imports "+imp.path+": "+reason)
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			broken = append(broken, f.at(g.Pos())+": starts a goroutine: the state machine is a function")
		}
		return true
	})
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

// isSelector reports whether e is of.name for one of these names.
func isSelector(e ast.Expr, name string, of ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == name && slices.Contains(of, sel.Sel.Name)
}

// impure are the standard packages, with those below them, that do I/O, give results
// that differ from run to run, or schedule.
var impure = []string{"archive", "context", "crypto/rand", "crypto/tls", "crypto/x509", "database", "debug", "expvar",
	"flag", "go", "html/template", "io/fs", "io/ioutil", "log", "math/rand", "mime", "net", "os", "path/filepath", "plugin",
	"runtime", "sync", "syscall", "testing", "text/template", "unsafe"}

// pure are exceptions from impure, without the packages below them.
var pure = []string{"net/netip", "net/url"}

// whyNotPure returns why the state machine must not import a package, or "".
func whyNotPure(imported string) string {
	switch first, _, _ := strings.Cut(imported, "/"); {
	case slices.Contains(pure, imported), imported == "github.com/google/uuid":
		return ""
	case strings.Contains(first, "."):
		return "the state machine uses nothing but the standard library and uuid"
	case slices.ContainsFunc(impure, func(p string) bool { return within(imported, p) }):
		return "the state machine is a function: it does no I/O and depends on its arguments alone"
	}
	return ""
}

// within reports whether dir is root or lies below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }
