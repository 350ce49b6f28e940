package view

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/life"
)

const (
	// rowLabel and rowNote are the columns to the left and right of a row's bars, defaultWidth
	// is the width where there is no terminal, leastBars the least for bars.
	rowLabel     = len("zone-created")
	rowNote      = len("1h30m, 99 times")
	defaultWidth = 100
	leastBars    = 10
	// tickWidth is about the least distance of two ticks.
	tickWidth = 9
)

// barGlyphs are the characters of bars by kind, and of the deadline's line.
func (v View) barGlyphs() (bars map[life.Kind]string, line string) {
	if v.UTF8 {
		return map[life.Kind]string{life.Done: "█", life.Failed: "▓", life.Pending: "▒", life.Left: "░"}, "┊"
	}
	return map[life.Kind]string{life.Done: "#", life.Failed: "X", life.Pending: "=", life.Left: "."}, ":"
}

// Life draws a chart.
func (v View) Life(c life.Chart) string {
	room := max(v.Width, 0)
	if room == 0 {
		room = defaultWidth
	}
	d := drawing{View: v, chart: c, columns: max(room-2-rowLabel-1-1-rowNote, leastBars)}
	var out strings.Builder
	to := v.Clock(c.To)
	if v.date(c.To) != v.date(c.From) {
		to = v.date(c.To) + " " + to
	}
	fmt.Fprintf(&out, "%s  %s\n  %s of %s, %s %s to %s\n\n", v.paint(strong, c.ID.String()), clean(c.Hostname),
		c.Part, admin.Span(c.To.Sub(c.From)), v.date(c.From), v.Clock(c.From), to)
	out.WriteString(d.axis())
	for _, r := range c.Rows {
		out.WriteString(d.row(r))
	}
	out.WriteString(d.deadline() + d.now() + "\n  " + d.legend() + "\n")
	return out.String()
}

// A drawing is a chart on a terminal.
type drawing struct {
	View
	chart   life.Chart
	columns int // for bars
}

func (d drawing) column(place float64) int { return int(place * float64(d.columns-1)) }

// line returns a row of the drawing. Each cell is one column.
func (d drawing) line(label string, cells []cell, note string) string {
	var bars strings.Builder
	for len(cells) > 0 { // those of one style together
		n, text := 0, ""
		for ; n < len(cells) && cells[n].style == cells[0].style; n++ {
			text += cells[n].text
		}
		bars.WriteString(d.paint(cells[0].style, text))
		cells = cells[n:]
	}
	return strings.TrimRight(fmt.Sprintf("  %s %s %s", padRight(clean(label), rowLabel), bars.String(), clean(note)), " ") + "\n"
}

// blank returns an empty row, with the deadline.
func (d drawing) blank() []cell {
	cells := slices.Repeat([]cell{{text: " "}}, d.columns)
	if d.chart.Shows(d.chart.Deadline) {
		_, line := d.barGlyphs()
		cells[d.column(d.chart.Place(*d.chart.Deadline))] = cell{text: line, style: strong}
	}
	return cells
}

func (d drawing) axis() string {
	dash, mark := "-", "+"
	if d.UTF8 {
		dash, mark = "─", "┴"
	}
	labels, rule := d.blank(), slices.Repeat([]cell{{text: dash, style: faint}}, d.columns)
	for _, tick := range d.chart.Ticks(d.columns / tickWidth) {
		at := d.column(float64(tick) / float64(d.chart.Length()))
		text := "0"
		if tick > 0 {
			text = "+" + admin.Span(tick)
		}
		rule[at].text = mark
		at = min(at, d.columns-len(text))
		for i, r := range text {
			labels[at+i] = cell{text: string(r), style: faint}
		}
	}
	return d.line("", labels, "") + d.line("", rule, "")
}

func (d drawing) row(r life.Row) string {
	cells := d.blank()
	glyphs, _ := d.barGlyphs()
	for _, b := range r.Bars {
		s := normal
		if b.Kind == life.Failed {
			s = trouble
		}
		for i := d.column(d.chart.Place(b.From)); i <= d.column(d.chart.Place(b.To)); i++ {
			cells[i] = cell{text: glyphs[b.Kind], style: s}
		}
	}
	return d.line(r.Label, cells, r.Note)
}

func (d drawing) deadline() string {
	at := d.chart.Deadline
	if at == nil {
		return ""
	}
	note := "+" + admin.Span(at.Sub(d.chart.From))
	cells := d.blank()
	if !d.chart.Shows(at) {
		return d.line("deadline", cells, note+", not reached")
	}
	cells[d.column(d.chart.Place(*at))] = cell{text: d.glyphs().deadline, style: strong}
	return d.line("deadline", cells, note)
}

func (d drawing) now() string {
	if d.chart.Now == nil {
		return ""
	}
	cells := d.blank()
	cells[d.column(d.chart.Place(*d.chart.Now))] = cell{text: d.glyphs().now}
	return d.line("now", cells, "+"+admin.Span(d.chart.Now.Sub(d.chart.From)))
}

// legend names the kinds of bars that there are.
func (d drawing) legend() string {
	glyphs, line := d.barGlyphs()
	var parts []string
	for _, k := range d.chart.Kinds() {
		parts = append(parts, glyphs[k]+" "+k.Name())
	}
	if d.chart.Shows(d.chart.Deadline) {
		parts = append(parts, line+" deadline")
	}
	return strings.Join(parts, "  ")
}
