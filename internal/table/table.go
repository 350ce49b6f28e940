// Package table aligns rows of cells for a terminal or a file. It knows how wide characters are;
// how long a line may be, what is drawn where and which texts can be trusted is up to its users.
package table

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// gap is the space between columns, unless a Column says otherwise.
const gap = 2

// A Cell is one text of a row.
type Cell struct {
	Text string
	// Right aligns it to the right.
	Right bool
	// Paint adds codes of a terminal that take no room; nil adds none.
	Paint func(string) string
}

// A Column is what a column is apart from its cells.
type Column struct {
	// Least is its least width. With it a table that is drawn again does not move.
	Least int
	// Gap is the space before it; 0 means two columns of the terminal.
	Gap int
}

// A Table is rows of the same number of cells. Its zero value is ready.
type Table struct {
	// Columns describes columns from the left; those that it leaves out are zero.
	Columns []Column

	rows [][]Cell
}

// Row adds a row.
func (t *Table) Row(cells ...Cell) { t.rows = append(t.rows, cells) }

// A Line is a row, laid out but for its last cell, which may be as long as it wants to.
type Line struct {
	// Begin is all before the last cell.
	Begin string
	Last  Cell
}

// Lay returns the rows, and the number of terminal columns before the last cells.
func (t *Table) Lay() (lines []Line, indent int) {
	widths := t.widths()
	for i := range widths {
		indent += t.gap(i)
		if i < len(widths)-1 {
			indent += widths[i]
		}
	}
	for _, row := range t.rows {
		var begin strings.Builder
		last := len(row) - 1
		for i, c := range row[:last] {
			begin.WriteString(strings.Repeat(" ", t.gap(i)) + c.padded(widths[i]))
		}
		begin.WriteString(strings.Repeat(" ", t.gap(last)))
		lines = append(lines, Line{begin.String(), row[last]})
	}
	return lines, indent
}

// Lines returns the rows as lines without spaces at their ends.
func (t *Table) Lines() []string {
	laid, _ := t.Lay()
	lines := make([]string, len(laid))
	for i, l := range laid {
		lines[i] = strings.TrimRight(l.Begin+l.Last.padded(0), " ")
	}
	return lines
}

func (t *Table) gap(column int) int {
	switch {
	case column == 0:
		return 0
	case column < len(t.Columns) && t.Columns[column].Gap > 0:
		return t.Columns[column].Gap
	}
	return gap
}

func (t *Table) widths() []int {
	var w []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(w) {
				w = append(w, 0)
				if i < len(t.Columns) {
					w[i] = t.Columns[i].Least
				}
			}
			w[i] = max(w[i], Width(c.Text))
		}
	}
	return w
}

func (c Cell) padded(to int) string {
	text, pad := c.Text, strings.Repeat(" ", max(to-Width(c.Text), 0))
	if c.Paint != nil {
		text = c.Paint(text)
	}
	if c.Right {
		return pad + text
	}
	return text + pad
}

// columns measures the width of text on a terminal. Characters of ambiguous width, such as
// the drawing characters, are narrow regardless of the environment.
var columns = &runewidth.Condition{}

// Width returns how many columns of a terminal a text takes.
func Width(text string) int { return columns.StringWidth(text) }

// Cut shortens a text to a number of columns. end, which may be empty, is in place of what is cut.
func Cut(text string, to int, end string) string { return columns.Truncate(text, to, end) }

// PadRight adds spaces at the end, up to a number of columns.
func PadRight(text string, to int) string { return columns.FillRight(text, to) }

// PadLeft adds spaces at the beginning, up to a number of columns.
func PadLeft(text string, to int) string { return columns.FillLeft(text, to) }
