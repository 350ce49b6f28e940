package view_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

var now = time.Date(2026, 8, 21, 22, 35, 53, 0, time.UTC)

func status() vmm.Status {
	return vmm.Status{
		ID: uuid.MustParse("81bc22de-6f1e-4b6e-9a53-0d2f6ad0c111"), Hostname: "db-2", Phase: "removing", Since: now,
		Record:   vmm.Record{VMM: vmm.Runtime{State: vmm.WireStopping, Updated: now}},
		WaitsFor: "the zone to be halted, which may take as long as it likes",
		Removal:  &vmm.RemovalStatus{Begun: now, Rung: "halt", Attempt: 2, LastError: "zoneadm: \x1b[2Jno\n such\tluck"},
		Events: []vmm.Event{{At: now.Add(-time.Hour), Kind: "stop"}, {At: now.Add(-time.Minute), Kind: "halt", Error: "no\nsuch luck"},
			{At: now.Add(-2 * time.Minute), Kind: "stepped", Text: "the clock was set back"}},
	}
}

// The output is ASCII for a serial console in the C locale, and error texts cannot
// control the terminal.
func TestASCIIAndNoControlCharacters(t *testing.T) {
	t.Parallel()
	v := view.View{Now: now, Width: 90}
	s := status()
	text := v.List([]vmm.Status{s}, view.ListOptions{}) + v.Show(s)
	for _, e := range s.Events {
		text += v.Event(admin.NamedEvent{VMM: s.ID, Event: e, Lost: 3}, 8)
	}
	for _, r := range text {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Fatalf("%q in:\n%s", r, text)
		}
	}
	if !strings.Contains(text, "x halt") || !strings.Contains(text, "3 lost here") {
		t.Errorf("a mark is missing:\n%s", text)
	}
}

func TestListFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, w := range []int{1, 40, 80, 100} {
		text := view.View{Now: now, Width: w, UTF8: true}.List([]vmm.Status{status()}, view.ListOptions{})
		row := strings.Split(text, "\n")[1]
		if got := utf8.RuneCountInString(row); w >= 80 && got > w {
			t.Errorf("width %d: %d columns: %s", w, got, row)
		}
	}
}

func TestColourOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	s := status()
	plain, coloured := view.View{Now: now, UTF8: true}, view.View{Now: now, UTF8: true, Color: true}
	if strings.Contains(plain.Show(s)+plain.List([]vmm.Status{s}, view.ListOptions{}), "\x1b") {
		t.Error("colours though none were asked for")
	}
	text := coloured.Show(s)
	if !strings.Contains(text, "\x1b[31m! removal") {
		t.Errorf("trouble is not red:\n%q", text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if n := strings.Count(line, "\x1b["); n%2 != 0 {
			t.Errorf("a colour is left on: %q", line)
		}
	}
}

func TestPrefixLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ids  []string
		want int
	}{
		{nil, 8},
		{[]string{"3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10"}, 8},
		{[]string{"3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10", "4f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10"}, 8},
		{[]string{"3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10", "3f2a9c01-87aa-4a0e-8f7e-3f0a3b8f6f10"}, 10},
		{[]string{"3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10", "3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f11"}, 36},
	} {
		var all []vmm.Status
		for _, id := range c.ids {
			all = append(all, vmm.Status{ID: uuid.MustParse(id)})
		}
		if got := view.PrefixLength(all); got != c.want {
			t.Errorf("%v: %d, want %d", c.ids, got, c.want)
		}
	}
}

// The timeline shows when the clock was set back.
func TestTimelineDistances(t *testing.T) {
	t.Parallel()
	text := view.View{Now: now, UTF8: true}.Show(status())
	for _, want := range []string{"+59m  ✗ halt", "-1m  ● stepped", "+2m  ○ now"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

func TestEmptyAndSingle(t *testing.T) {
	t.Parallel()
	v := view.View{Now: now}
	for got, want := range map[string]string{
		v.List(nil, view.ListOptions{}): "There are no VMMs on this sled.\n",
		v.List([]vmm.Status{{ID: uuid.New(), Since: now}}, view.ListOptions{Unhealthy: true}): "None of 1 VMM is in trouble.\n",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	one := v.List([]vmm.Status{status()}, view.ListOptions{})
	if !strings.HasSuffix(one, "\n1 of 1 VMM is in trouble; `sledctl vmm show ID` says more.\n") {
		t.Error(fmt.Sprint(one))
	}
}

func TestStatusCountsZonesOfNobody(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "", 1: "1 zone belongs to no VMM; `sledctl zone list` says why", 2: "2 zones belong to no VMM;"} {
		text := view.View{Now: now}.Status(summary.Summary{Orphans: n})
		if !strings.Contains(text, want) || n == 0 && strings.Contains(text, "no VMM") {
			t.Errorf("%d: %s", n, text)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	v := view.View{Width: 4}
	for line, want := range map[string]string{
		"abcdef": "abcd", "abc": "abc", "\x1b[31mabcdef\x1b[0m": "\x1b[31mabcd\x1b[0m", "ab\x1b[1mcdef\x1b[0mgh": "ab\x1b[1mcd\x1b[0m",
		"日本語": "日本", "\x1b": "\x1b", "\x1b[12": "\x1b[12", "": "",
	} {
		if got := v.Cut(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
