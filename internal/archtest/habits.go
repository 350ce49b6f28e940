package archtest

import (
	"path"
	"slices"
	"strings"
)

// packageDocs checks that every package has a doc comment that begins as godoc expects.
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

// vague are package names without meaning.
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
