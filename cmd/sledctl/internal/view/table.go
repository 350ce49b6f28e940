package view

import "strings"

// gutter is the space between columns.
const gutter = "  "

// A cell is one text in a table and how it stands out.
type cell struct {
	text  string
	style style
	right bool
}

// table aligns rows of cells. A note is a line of its own below its row.
type table struct {
	rows  [][]cell
	notes map[int][]cell
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

func (t *table) widths() []int {
	var w []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], width(c.text))
		}
	}
	return w
}

// render writes the table; the last column is cut where the terminal ends.
func (t *table) render(v View) string {
	var out strings.Builder
	widths := t.widths()
	for i, row := range t.rows {
		out.WriteString(strings.TrimRight(renderRow(v, row, widths), " ") + "\n")
		for _, n := range t.notes[i] {
			out.WriteString(v.paint(n.style, v.fit(n.text, v.Width)) + "\n")
		}
	}
	return out.String()
}

func renderRow(v View, row []cell, widths []int) string {
	var line strings.Builder
	column := 0
	for i, c := range row {
		text, last := c.text, i == len(row)-1
		pad := max(widths[i]-width(text), 0)
		switch {
		case last:
			text, pad = v.fit(text, v.Width-column), 0
		case c.right:
			line.WriteString(strings.Repeat(" ", pad))
			pad = 0
		}
		line.WriteString(v.paint(c.style, text) + strings.Repeat(" ", pad))
		if !last {
			line.WriteString(gutter)
		}
		column += widths[i] + len(gutter)
	}
	return line.String()
}
