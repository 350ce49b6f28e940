package archtest

import (
	"go/ast"
	"strings"
)

// sleepReason begins a comment that allows a time.Sleep in a test, on the line of the
// call or before it. The comment gives the reason.
const sleepReason = "// sleep: "

// sleeps checks that tests do not wait by sleeping. Sleeps in a synctest bubble are
// allowed, since they are exact and take no time. Code is in a bubble if it is passed to
// synctest.Test or to a function of the package that calls it, or is in a function that
// calls synctest.Wait, which panics elsewhere.
func sleeps(files []*file) []string {
	makers := bubbleMakers(files)
	var broken []string
	for _, f := range files {
		if strings.HasSuffix(f.name, "_test.go") && f.nameOf("time") != "" {
			broken = append(broken, sleepsIn(f, makers)...)
		}
	}
	return broken
}

func sleepsIn(f *file, makers map[string]bool) []string {
	clock, excused := f.nameOf("time"), excusedLines(f)
	var broken []string
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !calls(f, n, "Wait")
		case *ast.CallExpr:
			return !makesBubble(f, n, makers)
		case *ast.SelectorExpr:
			if isSelector(n, clock, "Sleep") && !excused[f.line(n.Pos())] {
				broken = append(broken, f.at(n.Pos())+": sleeps outside of a synctest bubble;"+
					" wait for what is to happen, or say why in a comment \""+sleepReason+"...\"")
			}
		}
		return true
	})
	return broken
}

// bubbleMakers returns the functions that call synctest.Test, by directory and name.
// Test functions among them do no harm, since they are not called.
func bubbleMakers(files []*file) map[string]bool {
	makers := make(map[string]bool)
	for _, f := range files {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && calls(f, fn, "Test") {
				makers[f.dir()+"."+fn.Name.Name] = true
			}
		}
	}
	return makers
}

func makesBubble(f *file, call *ast.CallExpr, makers map[string]bool) bool {
	if id, ok := call.Fun.(*ast.Ident); ok {
		return makers[f.dir()+"."+id.Name]
	}
	synctest := f.nameOf("testing/synctest")
	return synctest != "" && isSelector(call.Fun, synctest, "Test")
}

// calls reports whether a function contains a call of this function of testing/synctest.
func calls(f *file, fn *ast.FuncDecl, name string) bool {
	synctest := f.nameOf("testing/synctest")
	if synctest == "" {
		return false
	}
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if e, ok := n.(*ast.SelectorExpr); ok && isSelector(e, synctest, name) {
			found = true
		}
		return !found
	})
	return found
}

// excusedLines returns the lines on which a sleepReason allows a sleep.
func excusedLines(f *file) map[int]bool {
	lines := make(map[int]bool)
	for _, group := range f.tree.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(c.Text, sleepReason); ok && strings.TrimSpace(reason) != "" {
				lines[f.line(group.End())], lines[f.line(group.End())+1] = true, true
			}
		}
	}
	return lines
}
