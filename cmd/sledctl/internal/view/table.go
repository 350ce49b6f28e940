package view

import (
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
	grid "github.com/sledagent/sledagent/internal/table"
)

// A cell is one text in a table with its style.
type cell struct {
	text  string
	style style
	right bool
}

// A table aligns rows of cells. A note is a line below its row.
type table struct {
	// oneLine cuts the last column on a terminal instead of wrapping it. Its beginning and
	// its end stay.
	oneLine bool
	rows    [][]cell
	notes   map[int][]cell
}

func (t *table) row(cells ...cell) {
	for i := range cells {
		cells[i].text = clean(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// note adds a line below the row that was added last.
func (t *table) note(c cell) {
	if t.notes == nil {
		t.notes = make(map[int][]cell)
	}
	last := len(t.rows) - 1
	t.notes[last] = append(t.notes[last], c)
}

const (
	// leastRoom is the minimum width of the last column on a terminal.
	leastRoom = 24
	// noteIndent is the indentation of a note's second line.
	noteIndent = 5
)

// render formats the table. On a terminal the last column is wrapped, or moved below its
// row if there is too little room.
func (t *table) render(v View) string {
	var out strings.Builder
	lines, indent := t.layout(v).Lay()
	below := v.Width > 0 && v.Width-indent < leastRoom
	for i, l := range lines {
		line, end := l.Begin, t.rows[i][len(t.rows[i])-1]
		switch {
		case t.oneLine && v.Width > 0:
			line += v.paint(end.style, plain.ClipMiddle(end.text, max(v.Width-indent, minPrefix)))
		case !below:
			line += v.wrapped(end.style, end.text, indent)
		case i > 0 && end.text != v.glyphs().dash:
			what := strings.ToLower(t.rows[0][len(t.rows[0])-1].text) + ": "
			line = strings.TrimRight(line, " ") + "\n" + strings.Repeat(" ", noteIndent) + v.wrapped(end.style, what+end.text, noteIndent)
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, n := range t.notes[i] {
			out.WriteString(v.wrapped(n.style, n.text, noteIndent) + "\n")
		}
	}
	return out.String()
}

// layout returns the table that aligns the cells.
func (t *table) layout(v View) *grid.Table {
	var laid grid.Table
	for _, row := range t.rows {
		cells := make([]grid.Cell, len(row))
		for i, c := range row {
			cells[i] = grid.Cell{Text: c.text, Right: c.right, Paint: func(text string) string { return v.paint(c.style, text) }}
		}
		laid.Row(cells...)
	}
	return &laid
}
