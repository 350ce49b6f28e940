package main

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
)

// root is the repository's root directory.
const root = "../.."

// pages reads the Markdown and manual pages of the repository, keyed by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || name == ".git"):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			text, err := os.ReadFile(filepath.Join(root, name))
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// section returns the text between two marks.
func section(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	part, _, end := strings.Cut(rest, to)
	if !ok || !end {
		t.Fatalf("no text between %q and %q", from, to)
	}
	return part
}

var row = regexp.MustCompile("(?m)^\\| (?:\\*\\*)?`([^|]*)`(?:\\*\\*)? \\|(?: `([^|]*)` \\|)?")

// servedMetrics returns the names of the agent's own metrics. Those of histograms are without
// the suffixes of their parts.
func servedMetrics() map[string]bool {
	z := &zones{leftBehind: func() int { return 0 }}
	served := map[string]bool{}
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	all := slices.Concat(collectors(agent.New(agent.Config{}), nil, z, nil, nil, nil, nil), nexusCollectors(nil, nil),
		api.New(nil, api.Options{}).Collectors(), []prometheus.Collector{admin.NewCollector(nil)})
	for _, c := range all {
		descriptions := make(chan *prometheus.Desc)
		go func() {
			defer close(descriptions)
			c.Describe(descriptions)
		}()
		for d := range descriptions {
			served[name.FindStringSubmatch(d.String())[1]] = true
		}
	}
	return served
}

// The guide's table of metrics lists exactly the agent's own metrics.
func TestDocOfMetrics(t *testing.T) {
	t.Parallel()
	served := servedMetrics()
	told := map[string]bool{}
	text := section(t, pages(t)["docs/guide.md"], "\n## Metrics\n", "\n## ")
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(m[1], "`, `") {
			name, _, _ = strings.Cut(name, "{")
			if !strings.HasPrefix(name, "sled_") {
				name = "sled_agent_" + name
			}
			told[name] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(told))); diff != "" {
		t.Errorf("metrics (-served +in the guide):\n%s", diff)
	}
}

var (
	quoted = regexp.MustCompile("`([^`\n]+)`")
	link   = regexp.MustCompile(`\]\(([^)\s#]*)(#[^)\s]*)?\)`)
	tested = regexp.MustCompile(`^(?:[a-z]+\.)?(Test[A-Z]\w*)$`)
	// inTree matches paths inside the repository. e2e is the README's name for
	// cmd/sled-agent/e2e.
	inTree = regexp.MustCompile(`^(agent|cmd|config|deploy|docs|internal|propolis|watchdog|zone|e2e)/[\w./*-]+$`)
)

// Files, tests and headings that a page names exist.
func TestDocNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	tests := testNames(t)
	for page, text := range all {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if name := m[1]; inTree.MatchString(name) {
				name = strings.TrimSuffix(strings.Replace("/"+name, "/e2e/", "/cmd/sled-agent/e2e/", 1), "/")
				name = strings.Replace(name, "/cmd/sled-agent/cmd/sled-agent/", "/cmd/sled-agent/", 1)
				if found, _ := filepath.Glob(root + name); len(found) == 0 {
					t.Errorf("%s names %s, which does not exist", page, m[1])
				}
			}
			if name := tested.FindStringSubmatch(m[1]); name != nil && !tests[name[1]] {
				t.Errorf("%s names the test %s, which does not exist", page, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := page
			if m[1] != "" {
				to = path.Join(path.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if m[2] != "" && !anchors(all[to])[m[2]] {
				t.Errorf("%s links to %s%s, a heading that does not exist", page, m[1], m[2])
			}
		}
	}
}

// testNames returns the names of the repository's tests.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names, function := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// anchors returns the link fragments of a page's headings.
func anchors(text string) map[string]bool {
	names, drop := map[string]bool{}, regexp.MustCompile(`[^\w\- ]`)
	for line := range strings.Lines(text) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			heading = drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			names["#"+strings.ReplaceAll(heading, " ", "-")] = true
		}
	}
	return names
}
