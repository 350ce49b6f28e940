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
		"VMM                                   STATE       GEN    AGE  UPDATES  LAST ANSWER",
	}
	room := max(1, height-len(out))
	rows := v.rows
	if hidden := len(rows) - room; hidden > 0 {
		rows = latest(rows, room-1)
		out = append(out, fmt.Sprintf("... %d less recently updated are not shown", hidden+1))
	}
	for _, r := range rows {
		out = append(out, v.row(r))
	}
	for i, l := range out {
		out[i] = l[:min(len(l), width)]
	}
	return out
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

func (v view) row(r nexussim.Row) string {
	state, answer := cmp.Or(string(r.State()), "-"), "none yet"
	switch {
	case r.LastAnswer != 0:
		answer = fmt.Sprintf("%d %s", r.LastAnswer, r.LastEffect)
	case r.LastEffect != "":
		answer = fmt.Sprintf("cut off, %s", r.LastEffect)
	}
	return fmt.Sprintf("%s  %-10s %4d %6s %8d  %s", r.ID, state, r.Gen(), age(v.now.Sub(r.LastSeen)), r.Updates, answer)
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
