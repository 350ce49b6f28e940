package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// A file is one Go source file of the module.
type file struct {
	// name is the file's path below the module's root, with slashes.
	name string
	set  *token.FileSet
	tree *ast.File
}

// dir is the directory of the file's package below the module's root.
func (f *file) dir() string { return path.Dir(f.name) }

// at returns a position as file:line.
func (f *file) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.line(pos))
}

func (f *file) line(pos token.Pos) int { return f.set.Position(pos).Line }

// parseFile parses one file; src is as for parser.ParseFile.
func parseFile(name, filename string, src any) (*file, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, filename, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return &file{name: name, set: set, tree: tree}, nil
}

// load parses every Go file of the module at root. It skips the directories that the go
// command skips, and nested modules.
func load(root string) ([]*file, error) {
	var files []*file
	err := filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if full != root && foreign(full) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(full) != ".go" || hidden(entry.Name()) {
			return nil
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		f, err := parseFile(filepath.ToSlash(name), full, nil)
		files = append(files, f)
		return err
	})
	return files, err
}

func foreign(dir string) bool {
	base := filepath.Base(dir)
	if hidden(base) || base == "testdata" || base == "vendor" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func hidden(base string) bool { return base[0] == '.' || base[0] == '_' }

// An importing is one import declaration.
type importing struct{ path, at string }

func (f *file) imports() (all []importing) {
	for _, spec := range f.tree.Imports {
		// The parser has checked that the path is a string literal.
		p, _ := strconv.Unquote(spec.Path.Value)
		all = append(all, importing{path: p, at: f.at(spec.Pos())})
	}
	return all
}

// nameOf returns the name by which the file imports the package of this path; empty if
// it does not import it.
func (f *file) nameOf(importPath string) string {
	for _, spec := range f.tree.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}
