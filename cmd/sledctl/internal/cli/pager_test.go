package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// paging makes a terminal with these variables, on which there is less.
func paging(variables map[string]string) option {
	return func(e *Env) {
		columns80x24(e)
		e.Getenv = func(name string) string { return variables[name] }
		e.Find = func(name string) (string, error) { return "/bin/" + name, nil }
	}
}

// Long output goes through a pager on a terminal, and only there.
func TestPager(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	const mark = "tr a-z A-Z"
	for _, c := range []struct {
		line      string
		variables map[string]string
		paged     bool
	}{
		{"vmm show 81bc", map[string]string{pagerVariable: mark, "PAGER": "false"}, true},
		{"vmm show 81bc -o json", map[string]string{"PAGER": mark}, true},
		{"vmm timeline 81bc", map[string]string{"PAGER": mark}, true},
		{"events", map[string]string{"PAGER": mark}, true},
		{"report --file " + filepath.Join(t.TempDir(), "r"), map[string]string{"PAGER": mark}, true},
		{"vmm list", map[string]string{"PAGER": mark}, false},
		{"vmm show 81bc --no-pager", map[string]string{"PAGER": mark}, false},
		{"vmm show 81bc", map[string]string{pagerVariable: "cat", "PAGER": mark}, false},
		{"vmm show 81bc", map[string]string{"TERM": "dumb"}, false},
	} {
		r := s.must(c.line, paging(c.variables))
		if got := r.out == strings.ToUpper(r.out); got != c.paged || r.out == "" {
			t.Errorf("%s with %v: paged %t:\n%s", c.line, c.variables, got, r.out)
		}
		if r := s.must(strings.Replace(c.line, "/r", "/r2", 1), func(e *Env) { e.Getenv = func(string) string { return mark } }); r.out == strings.ToUpper(r.out) {
			t.Errorf("%s: paged without a terminal", c.line)
		}
	}
}

func TestDefaultPager(t *testing.T) {
	t.Parallel()
	a := &app{Env: testEnv(nil, nil, paging(nil))}
	if got := a.pagerCommand(); got != "less -FRX" {
		t.Errorf("%q", got)
	}
	a.Find = func(string) (string, error) { return "", errors.New("none") }
	if got := a.pagerCommand(); got != "" {
		t.Errorf("without less: %q", got)
	}
}

// A user who leaves the pager early has seen enough. A pager that cannot be run is an error, which
// says what helps; a failure of the command is its own.
func TestPagerEnds(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	for _, command := range []string{"true", "head -1", "false", "kill -9 $$"} {
		if r := s.run("events --past 1000", paging(map[string]string{"PAGER": command})); r.code != exitDone || r.err != "" {
			t.Errorf("%s: exit %d, %s", command, r.code, r.err)
		}
	}
	r := s.run("vmm show 81bc", paging(map[string]string{"PAGER": "/nonexistent/pager"}))
	if r.code != exitOther || !strings.Contains(r.err, "exit status 127; use --no-pager") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
	read := filepath.Join(t.TempDir(), "read")
	r = s.run("vmm show nobody", paging(map[string]string{"PAGER": "cat >" + read}))
	if _, err := os.Stat(read); r.code != exitNotFound || err == nil {
		t.Errorf("exit %d, %v", r.code, err)
	}
}

// More than a pipe holds is not lost, and an early end is none either.
func TestPagerOfMuch(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789\n", 1<<16)
	var out, stderr strings.Builder
	if err := page("wc -c", strings.NewReader(text), &out, &stderr); err != nil || strings.TrimSpace(out.String()) != "720896" {
		t.Errorf("%q, %v, %s", out.String(), err, stderr.String())
	}
	for range 20 {
		if err := page("head -1", strings.NewReader(text), &out, &stderr); err != nil {
			t.Errorf("%v", err)
		}
	}
}
