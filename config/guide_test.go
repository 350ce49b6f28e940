package config

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of keys into the guide")

const (
	guide     = "../docs/guide.md"
	tableHead = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"
)

// The guide's table of keys equals that of default.toml.
func TestGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableHead)
	_, after, end := strings.Cut(rest, "\n\n")
	if !ok || !end {
		t.Fatalf("%s has no table of keys", guide)
	}
	want := before + tableHead + guideTable() + "\n" + after
	if *update {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s; go test ./config -update writes the table anew (-want +got):\n%s", guide, diff)
	}
}

// guideTable returns table rows for the keys and tables of default.toml.
func guideTable() string {
	var rows strings.Builder
	table, meaning := "", ""
	for line := range strings.Lines(defaultFile) {
		line = strings.TrimSpace(line)
		name, preset, _ := strings.Cut(line, " = ")
		switch {
		case line == "":
			continue
		case line[0] == '#':
			meaning += line[1:] // with a space before it
			continue
		case line[0] == '[':
			table = strings.Trim(line, "[]") + "."
			rows.WriteString("| **`" + line + "`** | | |" + meaning + " |\n")
		default:
			rows.WriteString("| `" + name + "` | " + typeOf(table+name) + " | `" + preset + "` |" + meaning + " |\n")
		}
		meaning = ""
	}
	return rows.String()
}

// typeOf names the type of a key.
func typeOf(name string) string {
	switch preset := presets()[name].(type) {
	case int64:
		return "integer"
	case []any:
		switch name {
		case "api.clients":
			return "array of tables"
		case "evidence.commands":
			return "array of arrays"
		}
		return "array of strings"
	case string:
		if _, err := time.ParseDuration(preset); err == nil {
			return "duration"
		}
	}
	return "string"
}

// The manual page names only existing keys.
func TestManualPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/man/sled-agent.8")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^\.BR? ([a-z_]+\.[a-z_.]+)`).FindAllStringSubmatch(string(page), -1)
	if len(named) < 5 {
		t.Errorf("found only %d keys", len(named))
	}
	for _, m := range named {
		if presets()[m[1]] == nil {
			t.Errorf("the manual page has %s, which is no key", m[1])
		}
	}
}
