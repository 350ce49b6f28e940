package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/golden"
)

const grace = 3 * time.Second

var noon = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// ended is a VMM whose promises were kept, stopped at noon.
func ended(r role) facts {
	f := facts{role: r, id: uuid.UUID{15: 1}, pid: 4711, sent: noon, answered: at(ms(4)), atNexus: "destroyed", state: "destroyed"}
	end := ms(120)
	event := func(kind string, after time.Duration) { f.events = append(f.events, event{At: at(after), Kind: kind}) }
	event("published", -ms(500))
	event("stop", ms(2))
	event("published", ms(3))
	if r.name != "hung" && !r.byItself {
		event("asked", ms(6))
	}
	if r.stubborn {
		end = grace + ms(8)
		event("deadline", end-ms(3))
	}
	event("removal", end)
	event("kill", end+ms(1))
	event("kill", end+ms(3))
	event("gone", end+ms(40))
	event("published", end+ms(50))
	f.dead, f.forgotten = at(end+ms(20)), at(end+ms(60))
	return f
}

func allEnded(backend string) (all []facts) {
	for _, r := range roles(backend) {
		all = append(all, ended(r))
	}
	return all
}

// fits fails if a line has 80 columns or more.
func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 79 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestIntroAndReport(t *testing.T) {
	t.Parallel()
	for backend, suffix := range map[string]string{"process": ".txt", "illumos": "-illumos.txt", "qemu": "-qemu.txt"} {
		unnoticed := ""
		if backend == "qemu" {
			unnoticed = "The agent was killed."
		}
		text, whole := report(allEnded(backend), backend, grace, unnoticed)
		if !whole {
			t.Error("a promise is broken")
		}
		golden.Check(t, "intro"+suffix, intro(backend, grace))
		golden.Check(t, "report"+suffix, text)
		fits(t, intro(backend, time.Minute)+text)
	}
}

func TestReportOfBrokenPromises(t *testing.T) {
	t.Parallel()
	all := allEnded("process")
	all[0].refusal = "the sled API answered 503"
	all[1].dead, all[1].forgotten = time.Time{}, time.Time{}
	all[1].state = "stopping"
	all[1].left = []string{"zone directory oxz_propolis-server_x"}
	text, whole := report(all, "process", grace, "")
	if whole {
		t.Error("no promise is broken")
	}
	golden.Check(t, "report-broken.txt", text)
	fits(t, text)
}

// Every way to break a promise is detected and has its own text.
func TestJudge(t *testing.T) {
	t.Parallel()
	move := func(f *facts, kind string, to time.Duration) {
		for i := range f.events {
			if f.events[i].Kind == kind {
				f.events[i].At = at(to)
			}
		}
	}
	tests := []struct {
		name string
		role string
		harm func(*facts)
		want string // promise and the beginning of the text; empty if none is broken
	}{
		{"refused", "obedient", func(f *facts) { f.refusal = "no" }, "(D): the stop was not accepted: no"},
		{"no removal", "deaf", func(f *facts) { f.events = nil }, "(D): no removal was reported"},
		{"late removal", "deaf", func(f *facts) { move(f, "removal", ms(4005)) }, "(D): the removal began 4.00s after the stop"},
		{"removal in time", "deaf", func(f *facts) { move(f, "removal", ms(4004)) }, ""},
		{"early removal", "deaf", func(f *facts) { move(f, "removal", ms(2999)) }, "(D): the removal began after 3.00s, before"},
		{"early death", "hung", func(f *facts) { f.dead = at(ms(2990)) }, "(D): its process died after 2.99s, before"},
		{"early death of one that may", "crasher", func(f *facts) { f.dead = at(ms(5)) }, ""},
		{"process runs", "deaf", func(f *facts) { f.dead = time.Time{} }, "(Z): process 4711 of its zone still runs"},
		{"leftovers", "deaf", func(f *facts) { f.left = []string{"a server at x"} }, "(Z): a server at x is left behind"},
		{"failed", "crasher", func(f *facts) { f.state = "failed" }, `(T): its state in Nexus is "failed"`},
		{"unknown to Nexus", "deaf", func(f *facts) { f.state = "" }, `(T): its state in Nexus is ""`},
		{"contradiction", "deaf", func(f *facts) { f.contradictions = []string{"a, then b"} }, "(T): Nexus received contradictory records: a, then b"},
		{"not forgotten", "deaf", func(f *facts) { f.forgotten = time.Time{} }, "(L): the agent has not forgotten it"},
		{"disowned early", "deaf", func(f *facts) { f.atNexus = "stopping" }, `(N): the agent forgot it while its state in Nexus was "stopping"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var f facts
			for _, r := range simulatedRoles {
				if r.name == tt.role {
					f = ended(r)
				}
			}
			tt.harm(&f)
			got := f.judge(grace)
			if text := strings.Join(got, "; "); tt.want == "" && text != "" || tt.want != "" && !strings.HasPrefix(text, "  broken "+tt.want) || len(got) > 1 {
				t.Errorf("judged %q, want %q", got, tt.want)
			}
		})
	}
}

// The table of one VMM on a terminal and elsewhere, after each new fact.
func TestScreens(t *testing.T) {
	t.Parallel()
	whole := ended(simulatedRoles[1])
	var live, printed strings.Builder
	terminal, file := &screen{w: &live, columns: 79}, &screen{w: &printed, printed: map[string]bool{}}
	f := facts{role: whole.role}
	show := func(now time.Time) {
		terminal.show([]facts{f}, now)
		file.show([]facts{f}, now)
	}
	show(at(-ms(1500)))
	f.pid, f.state = whole.pid, "running"
	show(at(-ms(500)))
	f.sent = whole.sent
	for i := range whole.events {
		f.events = whole.events[:i+1]
		show(whole.events[i].At)
	}
	f.forgotten, f.dead, f.state = whole.forgotten, whole.dead, whole.state
	show(f.forgotten)
	f.refusal = "why not"
	show(f.forgotten)
	text := strings.ReplaceAll(strings.ReplaceAll(live.String(), "\x1b[2A"+rows(nil, nil)[0]+"\x1b[K\n", ""), "\x1b[K", "")
	fits(t, text+printed.String())
	golden.Check(t, "screen.txt", text+"\n"+printed.String())
}

func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{w: &out, columns: 40}
	s.show(allEnded("process")[:1], noon)
	for line := range strings.Lines(out.String()) {
		if n := len(strings.TrimSuffix(line, "\x1b[K\n")); n > 40 {
			t.Errorf("a line of %d characters on 40 columns: %q", n, line)
		}
	}
	first := out.String()
	out.Reset()
	s.show(allEnded("process")[:1], noon)
	if want := "\x1b[2A" + first; out.String() != want {
		t.Errorf("second picture %q, want %q", out.String(), want)
	}
}
