package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/term"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/internal/table"
)

// The table is redrawn at least this often, so that ages advance, and at most this
// often, so that a thousand VMMs do not keep the terminal busy.
const (
	redrawAtLeast = time.Second
	redrawAtMost  = 100 * time.Millisecond
)

// where holds the addresses that the server listens on.
type where struct{ listen, control string }

// A view is the content of the table.
type view struct {
	where      where
	rows       []nexussim.Row
	faults     []string
	violations []nexussim.Violation
	now        time.Time
}

// showTable keeps the table up to date until ctx ends.
func showTable(ctx context.Context, s *nexussim.Server, t *os.File, at where) error {
	for {
		changed := s.Changed()
		width, height, err := term.GetSize(int(t.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			width, height = 80, 24
		}
		v := view{where: at, rows: s.Rows(), faults: s.Faults(), violations: s.Violations(), now: time.Now()}
		if err := draw(t, v.lines(width, height-1)); err != nil {
			return err
		}
		select {
		case <-time.After(redrawAtMost):
		case <-ctx.Done():
			return nil
		}
		select {
		case <-changed:
		case <-time.After(redrawAtLeast - redrawAtMost):
		case <-ctx.Done():
			return nil
		}
	}
}

// draw writes lines over the previous ones, from the top left corner. It clears the
// rest of each line and everything below.
func draw(w io.Writer, lines []string) error {
	if _, err := io.WriteString(w, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n\x1b[J"); err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	return nil
}

// lines renders the table for a terminal of the given size. If it does not hold all
// VMMs, the most recently updated ones are shown.
func (v view) lines(width, height int) []string {
	out := []string{
		fmt.Sprintf("simulated Nexus on %s   control on %s", v.where.listen, v.where.control),
		fmt.Sprintf("%d VMMs   faults: %s   violations: %s", len(v.rows), cmp.Or(strings.Join(v.faults, " "), "none"), v.worst()),
		"",
	}
	room := max(1, height-len(out)-1) // without the names of the columns
	rows := v.rows
	if hidden := len(rows) - room; hidden > 0 {
		rows = latest(rows, room-1)
	}
	t := table.Table{Columns: columns}
	t.Row(cells("VMM", "STATE", "GEN", "AGE", "UPDATES", "LAST ANSWER")...)
	for _, r := range rows {
		t.Row(cells(v.row(r)...)...)
	}
	lines := t.Lines()
	out = append(out, lines[0])
	if hidden := len(v.rows) - len(rows); hidden > 0 {
		out = append(out, fmt.Sprintf("... %d less recently updated are not shown", hidden))
	}
	out = append(out, lines[1:]...)
	for i, l := range out {
		out[i] = table.Cut(l, width, "")
	}
	return out
}

// columns have room for what comes, so that the table does not move.
var columns = []table.Column{{Least: 36}, {Least: 10}, {Least: 4, Gap: 1}, {Least: 6, Gap: 1}, {Least: 8, Gap: 1}}

// cells returns a row. Numbers are aligned to the right.
func cells(texts ...string) []table.Cell {
	row := make([]table.Cell, len(texts))
	for i, text := range texts {
		row[i] = table.Cell{Text: text, Right: i >= 2 && i <= 4}
	}
	return row
}

// latest returns the n most recently updated rows in their original order.
func latest(rows []nexussim.Row, n int) []nexussim.Row {
	byTime := slices.SortedStableFunc(slices.Values(rows), func(a, b nexussim.Row) int { return b.LastSeen.Compare(a.LastSeen) })
	keep := map[uuid.UUID]bool{}
	for _, r := range byTime[:n] {
		keep[r.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r nexussim.Row) bool { return !keep[r.ID] })
}

func (v view) row(r nexussim.Row) []string {
	state, answer := cmp.Or(string(r.State()), "-"), "none yet"
	switch {
	case r.LastAnswer != 0:
		answer = fmt.Sprintf("%d %s", r.LastAnswer, r.LastEffect)
	case r.LastEffect != "":
		answer = fmt.Sprintf("cut off, %s", r.LastEffect)
	}
	return []string{r.ID.String(), state, fmt.Sprint(r.Gen()), age(v.now.Sub(r.LastSeen)), fmt.Sprint(r.Updates), answer}
}

func (v view) worst() string {
	n := len(v.violations)
	if n == 0 {
		return "none"
	}
	last := v.violations[n-1]
	return fmt.Sprintf("%d, last: %s of %s", n, last.Rule, last.VMM)
}

// age formats a duration in its largest whole unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	default:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
}
