package vmm

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite doc.go's diagram from the table")

// diagram renders the table: the arrows of each phase with their inputs.
func diagram() string {
	var b strings.Builder
	for p := range Phase(numPhases) {
		arrows := map[Phase][]string{}
		for k := range Kind(numKinds) {
			for _, to := range table[p][k].to {
				arrows[to] = append(arrows[to], k.String())
			}
		}
		first := true
		for to := range Phase(numPhases) {
			if len(arrows[to]) == 0 {
				continue
			}
			name, fork := "", "├"
			if first {
				name, first = p.String(), false
			}
			fmt.Fprintf(&b, "//\t%-10s %s─▶ %-10s %s\n", name, fork, to, wrap(arrows[to], 52))
		}
	}
	return b.String()
}

// wrap breaks a list of words into lines that are aligned with the first.
func wrap(words []string, width int) string {
	var b strings.Builder
	line := 0
	for i, w := range words {
		if i > 0 {
			b.WriteString(",")
			if line+len(w) > width {
				b.WriteString("\n//\t" + strings.Repeat(" ", 11) + "│" + strings.Repeat(" ", 14))
				line = 0
			} else {
				b.WriteString(" ")
			}
		}
		b.WriteString(w)
		line += len(w) + 2
	}
	return b.String()
}

func TestDiagramInDocIsTheTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	from, to := -1, -1
	for i, l := range lines {
		if strings.HasPrefix(l, "//\t") {
			if from < 0 {
				from = i
			}
			to = i + 1
		}
	}
	if from < 0 {
		t.Fatal("doc.go has no diagram")
	}
	have := strings.Join(lines[from:to], "\n") + "\n"
	want := diagram()
	if *update && have != want {
		out := strings.Join(lines[:from], "\n") + "\n" + want + strings.Join(lines[to:], "\n")
		if err := os.WriteFile("doc.go", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("the diagram in doc.go is not the table's (run with -update):\n%s", d)
	}
}
