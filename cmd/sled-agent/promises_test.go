package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every entry in the column "Tested in" of the README's table of promises has tests.
func TestDocOfPromises(t *testing.T) {
	t.Parallel()
	promises := 0
	for line := range strings.Lines(section(t, pages(t)["README.md"], "\n## What it promises\n", "\n## ")) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| **") || len(cells) != 6 {
			continue
		}
		promises++
		places := quoted.FindAllStringSubmatch(cells[4], -1)
		if len(places) == 0 {
			t.Errorf("no test is named for promise%s", cells[1])
		}
		for _, p := range places {
			name := p[1]
			if strings.HasPrefix(name, "e2e/") {
				name = "cmd/sled-agent/" + name
			}
			if !hasTests(filepath.Join(root, name)) {
				t.Errorf("promise%snames %s, which has no tests", cells[1], p[1])
			}
		}
	}
	if promises < 10 {
		t.Errorf("found %d promises in the README", promises)
	}
}

var testFunction = regexp.MustCompile(`(?m)^func (Test|Fuzz)[A-Z]\w*\(`)

// hasTests reports whether a file, a directory or every file that matches a pattern
// has tests. In a directory one file with tests is enough.
func hasTests(pattern string) bool {
	files, _ := filepath.Glob(pattern) // an invalid pattern matches nothing
	if len(files) == 1 && filepath.Ext(pattern) == "" {
		if files, _ = filepath.Glob(pattern + "/*_test.go"); len(files) == 0 {
			return false
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && testFunction.Match(text) {
				return true
			}
		}
		return false
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || !testFunction.Match(text) {
			return false
		}
	}
	return len(files) > 0
}
