package config

import (
	"strings"
	"testing"
)

func TestTooDeep(t *testing.T) {
	t.Parallel()
	dots := strings.Repeat("a.", maxDots+1)
	deep := strings.Repeat("[", maxBrackets+1)
	for _, v := range []struct {
		name, file string
		want       int
	}{
		{"nothing", "", 0},
		{"dots", "x = 1\n" + dots, 2},
		{"dots over lines", strings.Repeat("a.b.c = 1\n", maxDots), 0},
		{"brackets", "a = " + deep, 1},
		{"brackets over lines", "a = " + strings.Repeat("[\n", maxBrackets+1), maxBrackets + 1},
		{"braces", "\n\na = " + strings.Repeat("{b=", maxBrackets+1), 3},
		{"closed brackets", strings.Repeat("[a]\n", 100), 0},
		{"in a string", `a = "` + dots + deep + `"`, 0},
		{"in a literal string", `a = '` + dots + deep + `'`, 0},
		{"in a long string", "a = \"\"\"\n" + dots + "\"\"\n" + deep + `"""`, 0},
		{"in a long literal string", "a = '''\n\"" + dots + `'''`, 0},
		{"in a comment", "# " + dots + deep, 0},
		{"after a comment", "# ' \"\n" + dots, 2},
		{"after a string", `a = "\"" ` + dots, 1},
		{"after a string that is not closed", "a = \"\n" + dots, 2},
		{"after a long string", "a = \"\"\"\n\\\"\"\"\n\"\"\"\"\" \n" + dots, 4},
	} {
		if got := tooDeep([]byte(v.file)); got != v.want {
			t.Errorf("%s: line %d, want %d", v.name, got, v.want)
		}
	}
}
