package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	clockWidth = len("15:04:05.000")
	spanWidth  = len("in 10m10s")
	kindWidth  = 12
)

// A mark is one point of a timeline.
type mark struct {
	at          time.Time
	glyph, kind string
	text, error string
	took        time.Duration
	style       style
	// future marks a point that lies ahead; its distance counts from now.
	future bool
}

// timeline draws a VMM's events from top to bottom, then now, then the deadline if it
// lies ahead. The line between two marks is longer for a longer time between them.
func (v View) timeline(s vmm.Status) string {
	marks := v.marks(s)
	if len(s.Events) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n  %s\n", v.paint(faint, v.date(marks[0].at)+" "+v.zoneName(marks[0].at)))
	for i, m := range marks {
		since := time.Duration(-1)
		if i > 0 {
			since = m.at.Sub(marks[i-1].at)
			for range lines(since) {
				out.WriteString(v.rail(v.glyphs().line, ""))
			}
			if v.date(m.at) != v.date(marks[i-1].at) {
				fmt.Fprintf(&out, "  %s\n", v.paint(faint, v.date(m.at)))
			}
		}
		out.WriteString(v.mark(m, since))
	}
	return out.String()
}

func (v View) marks(s vmm.Status) []mark {
	g := v.glyphs()
	marks := make([]mark, 0, len(s.Events)+2)
	for _, e := range s.Events {
		m := mark{at: e.At, glyph: g.event, kind: e.Kind, text: e.Text, error: e.Error, took: e.Took}
		if e.Times > 1 && e.Last != nil {
			m.text = strings.TrimSpace(fmt.Sprintf("%s  %d times, last at %s", e.Text, e.Times, v.fineClock(*e.Last)))
		}
		switch {
		case e.Error != "":
			m.glyph, m.style = g.failed, trouble
		case e.Kind == "deadline":
			m.glyph, m.style = g.deadline, strong
		}
		marks = append(marks, m)
	}
	now := mark{at: v.Now, glyph: g.now, kind: "now", style: strong}
	if s.WaitsFor != "" {
		now.text = "waits for " + s.WaitsFor
	}
	marks = append(marks, now)
	if s.Deadline != nil && s.Removal == nil && s.Deadline.After(v.Now) {
		marks = append(marks, mark{at: *s.Deadline, glyph: g.ahead, kind: "deadline", style: faint, future: true,
			text: s.DeadlineFor + ": the zone is removed by force"})
	}
	return marks
}

// lines is the number of rows between two marks: one more for each of the steps that the
// time between them reaches.
func lines(since time.Duration) int {
	n := 0
	for _, step := range []time.Duration{10 * time.Second, 5 * time.Minute, time.Hour} {
		if since >= step {
			n++
		}
	}
	return n
}

func (v View) mark(m mark, since time.Duration) string {
	distance := ""
	switch {
	case m.future:
		distance = "in " + admin.Span(since)
	case since > 0:
		distance = "+" + admin.Span(since)
	case since < -1:
		distance = admin.Span(since) // the wall clock was set back
	}
	text := clean(m.text)
	if m.took > 0 {
		text = strings.TrimSpace(text + v.paint(faint, "  took "+admin.Span(m.took)))
	}
	line := fmt.Sprintf("  %s  %s  %s %s %s", v.fineClock(m.at), v.paint(faint, padLeft(distance, spanWidth)),
		v.paint(m.style, m.glyph), v.paint(m.style, padRight(clean(m.kind), kindWidth)), text)
	line = strings.TrimRight(line, " ") + "\n"
	if m.error != "" {
		line += v.rail(v.glyphs().line, v.paint(trouble, clean(m.error)))
	}
	return line
}

// rail returns a line of the drawing between marks.
func (v View) rail(glyph, text string) string {
	indent := strings.Repeat(" ", 2+clockWidth+2+spanWidth+2)
	if text != "" {
		text = strings.Repeat(" ", kindWidth+2) + text
	}
	return indent + v.paint(faint, glyph) + text + "\n"
}
