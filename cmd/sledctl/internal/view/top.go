package view

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/internal/plain"
	grid "github.com/sledagent/sledagent/internal/table"
)

// Brief describes a sled as Status does, in a few lines of the terminal's width.
func (v View) Brief(s summary.Summary) []string {
	narrow := v
	narrow.Width = 0 // lines are cut, not wrapped
	p := &page{view: narrow}
	p.headline(s)
	p.nexusInBrief(s)
	if s.Drain.Why != "" {
		p.drainInBrief(s)
	}
	if s.Degraded > 0 {
		p.line("ledger", onDisk(s.Degraded))
	}
	p.line("VMMs", countStates(s.VMMs))
	for i, t := range s.Troubles {
		if more := len(s.Troubles) - i; i == 1 && more > 1 {
			t = fmt.Sprintf("%d more; sledctl status shows them", more)
		}
		if i < 2 {
			p.styled("TROUBLE", trouble, t)
		}
	}
	lines := strings.Split(strings.TrimRight(p.out.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = v.Cut(lines[i])
	}
	return lines
}

// Cut shortens a line to the terminal's width. Codes of colors stay.
func (v View) Cut(line string) string {
	if v.Width <= 0 {
		return line
	}
	var out strings.Builder
	room := v.Width
	for line != "" {
		if code := escape(line); code != "" {
			out.WriteString(code)
			line = line[len(code):]
			continue
		}
		end := strings.IndexByte(line, '\x1b')
		if end < 0 {
			end = len(line)
		}
		text := grid.Cut(line[:end], room, "")
		out.WriteString(text)
		room -= width(text)
		line = line[end:]
	}
	return out.String()
}

// escape returns the code of a color at the beginning of a line. Texts of others are clean of such
// codes; a part of one is taken as text of no width.
func escape(line string) string {
	if !strings.HasPrefix(line, "\x1b") {
		return ""
	}
	return line[:max(strings.IndexByte(line, 'm')+1, 1)]
}

// TroubleLine returns a line about what is wrong.
func (v View) TroubleLine(text string) string {
	return v.Cut(v.paint(trouble, "! "+clean(text)))
}

// Faint returns a line of less importance. Its text is not from elsewhere.
func (v View) Faint(text string) string {
	return v.paint(faint, grid.Cut(text, v.room(), ""))
}

// Strong returns a line of more importance.
func (v View) Strong(text string) string {
	return v.paint(strong, grid.Cut(clean(text), v.room(), ""))
}

func (v View) room() int {
	if v.Width <= 0 {
		return math.MaxInt
	}
	return v.Width
}

// The columns of Top, by which it can be sorted.
const (
	ByTrouble  = ""
	ByID       = "ID"
	ByHostname = "HOSTNAME"
	ByState    = "STATE"
	BySince    = "FOR"
	ByDeadline = "DEADLINE"
)

// TopOptions choose what Top shows of a table, and how.
type TopOptions struct {
	// Digits is how much of the ids is shown.
	Digits int
	// Sorted is the column that the table is sorted by, Reversed that it is so upside down.
	Sorted   string
	Reversed bool
	// From and Rows are the first row and the number of rows, Selected is the marked one.
	From, Rows, Selected int
}

// Top returns a line with the names of columns and a line for each VMM.
func (v View) Top(all []vmm.Status, o TopOptions) []string {
	t := table{oneLine: true}
	head := v.header("", ByID, ByHostname, ByState, BySince, ByDeadline, "WAITS FOR")
	for i, h := range head {
		if h.text == o.Sorted {
			head[i].text += v.arrow(o.Reversed)
			head[i].style = strong
		}
	}
	t.row(head...)
	for i, s := range all {
		if i < o.From || i >= o.From+o.Rows {
			continue
		}
		t.row(v.topRow(s, o.Digits, i == o.Selected)...)
	}
	lines := strings.Split(strings.TrimRight(t.render(v), "\n"), "\n")
	for i := range lines {
		lines[i] = v.Cut(lines[i])
	}
	return lines
}

func (v View) arrow(reversed bool) string {
	switch {
	case v.UTF8 && reversed:
		return "▴"
	case v.UTF8:
		return "▾"
	case reversed:
		return "^"
	}
	return "v"
}

func (v View) topRow(s vmm.Status, digits int, selected bool) []cell {
	mark, state, text := " ", cell{text: string(s.Record.VMM.State)}, cell{text: orDash(v, s.WaitsFor)}
	if selected {
		mark = ">"
	}
	first := cell{text: mark}
	if troubles := admin.Troubles(s, v.Now); len(troubles) > 0 {
		first = cell{text: mark + "!", style: trouble}
		state.style, text = trouble, cell{text: troubles[0], style: trouble}
	} else if selected {
		first.style = strong
	}
	return []cell{first, {text: s.ID.String()[:digits], style: strong}, {text: v.short(s.Hostname)}, state,
		{text: admin.Span(max(v.Now.Sub(s.Since), 0)), right: true}, v.countdown(s), text}
}

// barWidth is the width of a countdown's bar.
const barWidth = 8

// countdown shows the time that a VMM has left, as a bar and as a number: first that of its guest to
// power off, if it was given some, and then that to the deadline.
func (v View) countdown(s vmm.Status) cell {
	switch {
	case s.Removal != nil && s.Removal.Gone == nil:
		return cell{text: "removal: " + orDash(v, s.Removal.Rung)}
	case s.Deadline == nil || s.Removal != nil:
		return cell{text: v.glyphs().dash, style: faint}
	case admin.Overdue(s, v.Now):
		return cell{text: fmt.Sprintf("%s %s late", s.DeadlineFor, admin.Span(v.Now.Sub(*s.Deadline))), style: trouble}
	}
	from, to, what := s.Since, *s.Deadline, s.DeadlineFor
	if s.Stop != nil && what == "stop" {
		from = s.Stop.Requested
		if soft := from.Add(s.Stop.Soft); s.Stop.Soft > 0 && v.Now.Before(soft) && soft.Before(to) {
			to, what = soft, "soft"
		}
	}
	left := max(to.Sub(v.Now), 0)
	return cell{text: v.bar(left, to.Sub(from)) + " " + cmp.Or(what, "deadline") + " " + admin.Span(left.Round(time.Second))}
}

// bar draws how much of a time is left. Some is drawn until all is over.
func (v View) bar(left, whole time.Duration) string {
	full, empty := "#", "."
	if v.UTF8 {
		full, empty = "█", "░"
	}
	n := barWidth
	if whole > 0 && left < whole {
		n = int(math.Ceil(float64(left) / float64(whole) * barWidth))
	}
	return strings.Repeat(full, n) + strings.Repeat(empty, barWidth-n)
}

// TopDetail describes the selected VMM in two lines: all that is wrong with it, or what it waits for.
func (v View) TopDetail(s vmm.Status, digits int) []string {
	text := "waits for " + s.WaitsFor
	kind := normal
	if s.WaitsFor == "" {
		text = "phase " + s.Phase
	}
	if troubles := admin.Troubles(s, v.Now); len(troubles) > 0 {
		text, kind = strings.Join(troubles, "; "), trouble
	} else if s.Deadline != nil && s.Removal == nil && s.Deadline.After(v.Now) {
		text += fmt.Sprintf("; %s deadline at %s", s.DeadlineFor, v.At(*s.Deadline))
	}
	head := s.ID.String()[:digits] + " " + s.Hostname + ": "
	text = head + text
	if v.Width > 0 {
		text = plain.ClipMiddle(clean(text), 2*v.Width-v.Width/8)
	}
	lines := strings.SplitN(v.wrapped(kind, clean(text), 0), "\n", 3)
	for len(lines) < 2 {
		lines = append(lines, "")
	}
	return []string{v.Cut(lines[0]), v.Cut(lines[1])}
}
