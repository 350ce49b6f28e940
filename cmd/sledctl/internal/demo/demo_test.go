package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/golden"
)

const grace = 3 * time.Second

var noon = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// ended is a VMM of that role whose promise was kept, at noon.
func ended(name string) facts {
	var r role
	for _, r = range cast() {
		if r.name == name {
			break
		}
	}
	f := facts{role: r, id: uuid.UUID{15: 1}, pid: 4711, running: at(-time.Second), sent: noon, answered: at(ms(4)),
		atNexus: vmm.WireDestroyed}
	end := ms(120)
	event := func(kind string, after time.Duration) {
		f.events = append(f.events, vmm.Event{At: at(after), Kind: kind})
	}
	event("published", -ms(500))
	event("stop", ms(2))
	event("published", ms(3))
	if name != "hung" && !r.byItself {
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
	f.row = nexussim.Row{Record: &vmm.Record{VMM: vmm.Runtime{State: vmm.WireDestroyed}}}
	return f
}

func allEnded() (all []facts) {
	for _, r := range cast() {
		all = append(all, ended(r.name))
	}
	return all
}

// What is said of a backend is said where and as it should be.
func TestIntroAndReport(t *testing.T) {
	t.Parallel()
	for _, on := range backends() {
		suffix := ".txt"
		if on.name != backends()[0].name {
			suffix = "-" + on.name + suffix
		}
		golden.Check(t, "intro"+suffix, intro(on, grace))
		golden.Check(t, "report"+suffix, report(allEnded(), on, grace))
	}
}

func TestReportOfBrokenPromises(t *testing.T) {
	t.Parallel()
	all := allEnded()
	all[0].refusal = "the sled API answered 503"
	all[1].dead, all[1].forgotten = time.Time{}, time.Time{}
	all[1].row.Record.VMM.State = vmm.WireStopping
	all[1].left = []string{"zone directory oxz_propolis-server_x"}
	golden.Check(t, "report-broken.txt", report(all, backends()[0], grace))
}

// Every way in which a promise can be broken is found, and is told apart.
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
		want string // promise and the beginning of the text; empty: nothing is broken
	}{
		{"refused", "obedient", func(f *facts) { f.refusal = "no" }, "D the stop was not accepted: no"},
		{"no removal", "deaf", func(f *facts) { f.events = nil }, "D no removal was reported"},
		{"late removal", "deaf", func(f *facts) { move(f, "removal", ms(4005)) }, "D the removal began 4.00s after the stop"},
		{"removal in time", "deaf", func(f *facts) { move(f, "removal", ms(4004)) }, ""},
		{"early removal", "deaf", func(f *facts) { move(f, "removal", ms(2999)) }, "D the removal began after 3.00s, before"},
		{"early death", "hung", func(f *facts) { f.dead = at(ms(2990)) }, "D its process died after 2.99s, before"},
		{"early death of one that may", "crasher", func(f *facts) { f.dead = at(ms(5)) }, ""},
		{"lost events", "quitter", func(f *facts) { f.lost = 2 }, "S 2 events were lost"},
		{"process lives", "deaf", func(f *facts) { f.dead = time.Time{} }, "Z process 4711 of its zone still runs"},
		{"leftovers", "deaf", func(f *facts) { f.left = []string{"a server at x"} }, "Z a server at x is left behind"},
		{"failed", "crasher", func(f *facts) { f.row.Record.VMM.State = vmm.WireFailed }, `T Nexus holds it for "failed"`},
		{"unknown to Nexus", "deaf", func(f *facts) { f.row.Record = nil }, `T Nexus holds it for ""`},
		{"contradiction", "deaf", func(f *facts) { f.violations = []nexussim.Violation{{Text: "a, then b"}} },
			"T Nexus was told contradictions: a, then b"},
		{"not forgotten", "deaf", func(f *facts) { f.forgotten = time.Time{} }, "L the agent has not let go of it"},
		{"disowned early", "deaf", func(f *facts) { f.atNexus = vmm.WireStopping }, `N the agent disowned it while Nexus held it for "stopping"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := ended(tt.role)
			tt.harm(&f)
			var got []string
			for _, b := range f.judge(grace) {
				got = append(got, b.promise+" "+b.text)
			}
			if text := strings.Join(got, "; "); tt.want == "" && text != "" || !strings.HasPrefix(text, tt.want) || len(got) > 1 {
				t.Errorf("judged %q, want %q", got, tt.want)
			}
		})
	}
}

// The live table and the log of one VMM, at each thing that becomes known.
func TestPictureAndNews(t *testing.T) {
	t.Parallel()
	whole := ended("deaf")
	var b strings.Builder
	before := facts{role: whole.role}
	show := func(after facts, now time.Time) {
		b.WriteString(strings.Join(picture([]facts{after}, now)[1:], "\n") + "\n")
		for _, i := range news(before, after) {
			b.WriteString("    > " + i.text + "\n")
		}
		before = after
	}
	f := before
	show(f, at(-ms(1500)))
	f.running, f.row = whole.running, nexussim.Row{Record: &vmm.Record{VMM: vmm.Runtime{State: vmm.WireRunning}}}
	show(f, at(-ms(500)))
	f.sent = whole.sent
	for i := range whole.events {
		f.events = whole.events[:i+1]
		show(f, whole.events[i].At)
	}
	f.forgotten, f.dead, f.row = whole.forgotten, whole.dead, whole.row
	show(f, f.forgotten)
	f.refusal = "why not"
	show(f, f.forgotten)
	golden.Check(t, "life.txt", b.String())
}

func TestScreens(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &canvas{w: &out, columns: func() int { return 40 }}
	c.show(allEnded()[:1], noon)
	first := out.String()
	out.Reset()
	c.show(allEnded()[:1], noon)
	for line := range strings.Lines(first) {
		if n := len(strings.TrimSuffix(line, "\x1b[K\n")); n > 40 {
			t.Errorf("a line of %d characters on 40 columns: %q", n, line)
		}
	}
	if want := "\x1b[2A" + first; out.String() != want {
		t.Errorf("second picture %q, want %q", out.String(), want)
	}
	out.Reset()
	j := &journal{w: &out}
	j.show(allEnded()[:1], noon)
	if n := strings.Count(out.String(), "\n"); n != 6 {
		t.Errorf("%d lines of news, want 6:\n%s", n, out.String())
	}
	out.Reset()
	j.show(allEnded()[:1], noon)
	if out.Len() > 0 {
		t.Errorf("old news: %s", out.String())
	}
}
