package top_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/top"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

var now = time.Date(2026, 8, 21, 22, 35, 53, 0, time.UTC)

func id(n byte) uuid.UUID { return uuid.UUID{n, 0, 0, 0, 0, 0, 0x40, 0, 0x80} }

func running(n byte, hostname string) vmm.Status {
	return vmm.Status{ID: id(n), Hostname: hostname, Phase: "active", Since: now.Add(-time.Hour), Record: vmm.Record{VMM: vmm.Runtime{State: vmm.WireRunning}}}
}

func stopping(n byte, hostname string, left time.Duration) vmm.Status {
	s := running(n, hostname)
	deadline := now.Add(left)
	s.Record.VMM.State, s.Phase, s.WaitsFor = vmm.WireStopping, "stopping", "Propolis to report it destroyed"
	s.Deadline, s.DeadlineFor = &deadline, "stop"
	s.Stop = &vmm.StopStatus{By: "nexus", Requested: deadline.Add(-10 * time.Minute), Grace: 10 * time.Minute}
	return s
}

func failed(n byte, hostname string) vmm.Status {
	s := running(n, hostname)
	s.Record.VMM.State, s.Reason = vmm.WireFailed, "its zone ended"
	return s
}

func seen(all ...vmm.Status) top.Seen {
	about := admin.About{Version: "0.1.0", Nexus: []string{"http://[::1]:1"}}
	return top.Seen{Now: now, All: all, Summary: summary.Of(about, disposition.Status{}, all, nil, now)}
}

// A game is a model with what it wants to be done.
type game struct {
	t *testing.T
	top.Model
	effects []top.Effect
}

func begin(t *testing.T, all ...vmm.Status) *game {
	g := &game{t: t, Model: top.New(view.View{UTF8: true, Width: 80, Height: 24}, seen(all...))}
	return g
}

func (g *game) step(e top.Event) *game {
	var effects []top.Effect
	g.Model, effects = top.Step(g.Model, e)
	g.effects = append(g.effects, effects...)
	return g
}

// press presses keys by their names.
func (g *game) press(keys ...string) *game {
	for _, k := range keys {
		text := k
		if utf8.RuneCountInString(k) > 1 {
			text = ""
		}
		g.step(top.Key{Name: k, Text: text})
	}
	return g
}

func (g *game) screen() string { return strings.Join(g.Lines(), "\n") }

func (g *game) shows(want ...string) {
	g.t.Helper()
	for _, text := range want {
		if !strings.Contains(g.screen(), text) {
			g.t.Errorf("%q is not on the screen:\n%s", text, g.screen())
		}
	}
}

var rowPattern = regexp.MustCompile(`(?m)^[ >!]{1,2} +[0-9a-f]{8}  (\S+)`)

// hosts returns the hostnames of the rows, in order.
func (g *game) hosts() (hosts []string) {
	for _, m := range rowPattern.FindAllStringSubmatch(g.screen(), -1) {
		hosts = append(hosts, m[1])
	}
	return hosts
}

func (g *game) selected(want string) {
	g.t.Helper()
	if !regexp.MustCompile(`(?m)^>!? +[0-9a-f]{8}  ` + want + ` `).MatchString(g.screen()) {
		g.t.Errorf("%s is not selected:\n%s", want, g.screen())
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	g := begin(t, running(4, "web-1"), stopping(3, "db-2", time.Minute), stopping(2, "db-1", time.Hour), failed(1, "mail"))
	for _, c := range []struct {
		key  string
		want string
	}{
		{"", "mail db-2 db-1 web-1"},  // by trouble, then by deadline
		{">", "mail db-1 db-2 web-1"}, // by id
		{"r", "web-1 db-2 db-1 mail"},
		{">", "db-1 db-2 mail web-1"}, // by hostname
		{"<", "mail db-1 db-2 web-1"},
		{"<", "mail db-2 db-1 web-1"},
		{"<", "db-2 db-1 mail web-1"}, // by deadline, the last column
	} {
		if c.key != "" {
			g.press(c.key)
		}
		if got := strings.Join(g.hosts(), " "); got != c.want {
			t.Errorf("after %q: %s, want %s", c.key, got, c.want)
		}
	}
}

// The selection stays with its VMM, whatever the order.
func TestSelection(t *testing.T) {
	t.Parallel()
	g := begin(t, running(1, "a"), running(2, "b"), running(3, "c"))
	g.selected("a")
	g.press("down").selected("b")
	g.press("r").selected("b")
	g.step(seen(running(3, "c"), running(2, "b"))).selected("b")
	g.step(seen(running(3, "c")))
	g.selected("c")
	g.step(seen()).shows("There are no VMMs on this sled.")
	g.press("down", "enter", "s", "x", "y")
	if len(g.effects) > 0 {
		t.Errorf("without a VMM: %+v", g.effects)
	}
}

// Many VMMs are scrolled, on every size of terminal, and never exceed it.
func TestScrolling(t *testing.T) {
	t.Parallel()
	var all []vmm.Status
	for n := range byte(100) {
		all = append(all, stopping(n, fmt.Sprintf("web-%02d", n), time.Duration(n)*time.Minute-time.Second))
	}
	for _, size := range []top.Size{{Width: 80, Height: 24}, {Width: 40, Height: 10}, {Width: 200, Height: 60}, {Width: 20, Height: 5}} {
		g := begin(t, all...).step(size)
		g.press(">", ">") // by hostname
		for _, c := range []struct{ key, want string }{{"end", "web-99"}, {"up", "web-98"}, {"home", "web-00"}, {"pgdown", ""}, {"end", "web-99"}, {"pgup", ""}} {
			g.press(c.key)
			lines := g.Lines()
			if len(lines) > size.Height {
				t.Errorf("%v: %d lines", size, len(lines))
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > size.Width {
					t.Errorf("%v: %d columns: %s", size, n, line)
				}
			}
			if c.want != "" && size.Width >= 80 {
				g.selected(c.want)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	g := begin(t, running(1, "web-1"), stopping(2, "db-1", time.Minute), failed(3, "db-2"))
	g.press("/", "D", "b").shows("filter: Db_")
	if got := strings.Join(g.hosts(), " "); got != "db-2 db-1" {
		t.Errorf("%s", got)
	}
	g.press("space").step(top.Key{Name: "space", Text: " "}).press("s", "t", "o", "p", "enter")
	if got := strings.Join(g.hosts(), " "); got != "db-1" || len(g.effects) > 0 {
		t.Errorf("%s, %+v", got, g.effects)
	}
	g.shows(`filter "Db stop" hides 2, Esc ends it`)
	g.press("/", "backspace", "q", "q", "enter").shows("No VMM matches the filter.")
	g.press("esc")
	if len(g.hosts()) != 3 {
		t.Errorf("%q", g.hosts())
	}
	g.press("/", "w", "esc")
	if len(g.hosts()) != 3 {
		t.Errorf("%q", g.hosts())
	}
}

// A stop and a kill ask first, and only y is yes.
func TestStopAndKill(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]top.Action{"s": top.Stop, "x": top.Kill} {
		g := begin(t, running(1, "web-1"), running(2, "web-2"))
		g.press("down", key).shows(string(want) + " web-2 (02000000)?")
		for _, no := range []string{"n", "enter", "esc", key} {
			g.press(no).shows("nothing was changed")
			g.press(key)
		}
		if len(g.effects) > 0 {
			t.Fatalf("%s without y: %+v", want, g.effects)
		}
		g.press("y").shows(string(want) + " of web-2 (02000000) is asked for")
		if len(g.effects) != 1 || g.effects[0].(top.Act).Action != want || g.effects[0].(top.Act).VMM.ID != id(2) {
			t.Errorf("%+v", g.effects)
		}
		g.step(top.Done{Text: "it is\x1b[31m stopping"}).shows("it is")
		if strings.Contains(g.screen(), "\x1b") {
			t.Error("a control character of the agent's text is on the screen")
		}
		g.step(top.Done{Err: "VMM is terminating"}).shows("! VMM is terminating")
	}
	g := begin(t, failed(1, "mail")).press("x")
	g.shows("! mail (01000000) has ended")
}

func TestDetail(t *testing.T) {
	t.Parallel()
	s := running(2, "web-2")
	for n := range 50 {
		s.Events = append(s.Events, vmm.Event{At: now, Kind: "event", Text: fmt.Sprint("number ", n)})
	}
	g := begin(t, running(1, "web-1"), s).press("down", "enter")
	g.shows("asking the agent about web-2")
	if !slices.Equal(g.effects, []top.Effect{top.Show{ID: s.ID}}) {
		t.Errorf("%+v", g.effects)
	}
	g.step(top.Shown{ID: id(1), Status: running(1, "web-1")}).shows("asking the agent") // a late answer
	g.step(top.Shown{ID: s.ID, Status: s}).shows("web-2", "number 0", "lines 1 to 21 of")
	g.press("end").shows("number 49")
	g.press("home", "down", "pgdown").shows("lines 23 to 43 of")
	g.press("x").shows("kill web-2")
	g.press("n")
	g.effects = nil
	g.step(top.Tick{Now: now.Add(time.Second)})
	if !slices.Equal(g.effects, []top.Effect{top.Look{}, top.Show{ID: s.ID}}) {
		t.Errorf("%+v", g.effects)
	}
	g.step(top.Shown{ID: s.ID, Err: "no such VMM"}).shows("! no such VMM")
	g.press("esc").selected("web-2")
	g.press("/", "2", "enter", "enter").press("alt+esc")
	if len(g.hosts()) != 2 {
		t.Errorf("two Escs lead to %q", g.hosts())
	}
}

// An agent that is away is asked again, once at a time, and what was seen last stays.
func TestAgentAway(t *testing.T) {
	t.Parallel()
	g := begin(t, stopping(1, "db-1", 5*time.Minute))
	for n := range 3 {
		g.step(top.Tick{Now: now.Add(time.Duration(n) * time.Second)})
	}
	if !slices.Equal(g.effects, []top.Effect{top.Look{}}) {
		t.Errorf("%+v", g.effects)
	}
	g.step(top.Missed{Now: now.Add(3 * time.Second), Why: "no agent listens on /a"})
	g.step(top.Tick{Now: now.Add(63 * time.Second)}).step(top.Missed{Now: now.Add(65 * time.Second), Why: "no agent listens on /a"})
	g.shows("! cannot reach agent since 22:35:56Z, 1m2s ago: no agent listens on /a", "db-1", "stop 3m55s")
	g.press("enter").shows("cannot reach agent since")
	g.press("esc").step(seen(stopping(1, "db-1", 5*time.Minute)))
	if strings.Contains(g.screen(), "cannot reach") {
		t.Error("it is back")
	}
}

func TestCountdown(t *testing.T) {
	t.Parallel()
	soft := stopping(1, "a", 10*time.Minute)
	soft.Stop.Soft = time.Minute
	removed := stopping(4, "d", time.Minute)
	removed.Removal = &vmm.RemovalStatus{Begun: now, Rung: "halt"}
	for _, c := range []struct {
		s    vmm.Status
		want string
	}{
		{stopping(1, "a", 10*time.Minute), "████████ stop 10m"},
		{stopping(1, "a", 5*time.Minute), "████░░░░ stop 5m"},
		{stopping(1, "a", time.Second), "█░░░░░░░ stop 1s"},
		{stopping(1, "a", 0), "░░░░░░░░ stop 0s"},
		{stopping(1, "a", -time.Minute), "stop 1m late"},
		{soft, "████████ soft 1m"},
		{removed, "removal: halt"},
		{running(1, "a"), "–"},
	} {
		row := (view.View{Now: now, UTF8: true, Width: 120}).Top([]vmm.Status{c.s}, view.TopOptions{Digits: 8, Rows: 1})[1]
		if !strings.Contains(row, c.want) {
			t.Errorf("%q is not in %q", c.want, row)
		}
	}
}

func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{{"q"}, {"ctrl+c"}, {"/", "q", "ctrl+c"}, {"x", "ctrl+c"}, {"enter", "q"}, {"?", "?", "q"}} {
		g := begin(t, running(1, "a")).press(keys...)
		if last := g.effects[len(g.effects)-1]; last != (top.Quit{}) {
			t.Errorf("%q: %+v", keys, g.effects)
		}
	}
	g := begin(t, running(1, "a")).press("?")
	g.shows("q, Ctrl-C", "any key goes back")
}

// Only colors differ with NO_COLOR, and only ASCII is drawn where nothing else can be.
func TestColorsAndASCII(t *testing.T) {
	t.Parallel()
	all := []vmm.Status{failed(1, "mail"), stopping(2, "db-1", time.Minute)}
	colored := strings.Join(top.New(view.View{UTF8: true, Color: true, Width: 80, Height: 24}, seen(all...)).Lines(), "\n")
	plain := begin(t, all...).screen()
	if got := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(colored, ""); got != plain || got == colored {
		t.Errorf("with colors:\n%s\nwithout:\n%s", got, plain)
	}
	for _, r := range strings.Join(top.New(view.View{Width: 80, Height: 24}, seen(all...)).Lines(), "\n") {
		if r > 126 {
			t.Errorf("%q", r)
		}
	}
}
