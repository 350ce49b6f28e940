package table_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/internal/table"
)

func TestLines(t *testing.T) {
	t.Parallel()
	tab := table.Table{Columns: []table.Column{{Least: 4}, {}, {Gap: 1}}}
	loud := func(text string) string { return "<" + strings.ToUpper(text) + ">" }
	for _, row := range [][2]string{{"a", "1"}, {"über", "1000"}, {"日本", ""}} {
		tab.Row(table.Cell{Text: row[0], Paint: loud}, table.Cell{Text: row[1], Right: true}, table.Cell{}, table.Cell{Text: "last of " + row[0]})
	}
	want := []string{
		"<A>        1   last of a",
		"<ÜBER>  1000   last of über",
		"<日本>         last of 日本",
	}
	if diff := cmp.Diff(want, tab.Lines()); diff != "" {
		t.Error(diff)
	}
	if _, indent := tab.Lay(); indent != 4+2+4+1+0+2 {
		t.Errorf("indent %d", indent)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		to   int
		end  string
		want string
	}{
		{"short", 10, "…", "short"}, {"a long text", 6, "…", "a lon…"}, {"日本語", 5, "", "日本"}, {"x", 0, "", ""},
	} {
		if got := table.Cut(c.text, c.to, c.end); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.to, got, c.want)
		}
	}
}
