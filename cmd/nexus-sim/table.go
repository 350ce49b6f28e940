package main

import (
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

// Redrawing is bounded from below so that ages move, and from above so that a
// thousand VMMs do not keep the terminal busy.
const (
	redrawAtLeast = time.Second
	redrawAtMost  = 100 * time.Millisecond
)

// where says on which addresses the server is.
type where struct{ listen, control string }

// A view is all that the table shows.
type view struct {
	where      where
	rows       []nexussim.Row
	faults     []string
	violations []nexussim.Violation
	now        time.Time
}

// A terminal is where the table is drawn.
type terminal struct{ *os.File }

// size is the terminal's, or a usual one if it does not tell.
func (t terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(t.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// showTable keeps the table up to date until ctx ends.
func showTable(ctx context.Context, s *nexussim.Server, t terminal, at where) error {
	for {
		changed := s.Changed()
		width, height := t.size()
		v := view{where: at, rows: s.Rows(), faults: s.Faults(), violations: s.Violations(), now: time.Now()}
		if err := draw(t, v.lines(width, height-1)); err != nil {
			return err
		}
		if !sleep(ctx, redrawAtMost, nil) || !sleep(ctx, redrawAtLeast-redrawAtMost, changed) {
			return nil
		}
	}
}

// sleep returns after d or when early is closed; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
		return false
	}
	return true
}

// draw puts lines over what was drawn before: from the top left corner, each
// cleared to its end, and nothing left below.
func draw(w io.Writer, lines []string) error {
	if _, err := io.WriteString(w, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n\x1b[J"); err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	return nil
}

// lines renders the table for so many columns and rows of a terminal. If the
// VMMs are too many, those that were heard of last are shown.
func (v view) lines(width, height int) []string {
	out := []string{
		fmt.Sprintf("simulated Nexus on %s   control on %s", v.where.listen, v.where.control),
		fmt.Sprintf("%d VMMs   faults: %s   violations: %s", len(v.rows), listOr(v.faults, "none"), v.worst()),
		"",
		"VMM                                   STATE       GEN    AGE  UPDATES  LAST ANSWER",
	}
	room := max(1, height-len(out))
	rows := v.rows
	if hidden := len(rows) - room; hidden > 0 {
		rows = latest(rows, room-1)
		out = append(out, fmt.Sprintf("... %d that were heard of longer ago are not shown", hidden+1))
	}
	for _, r := range rows {
		out = append(out, v.row(r))
	}
	for i, l := range out {
		out[i] = cut(l, width)
	}
	return out
}

// latest returns the n rows that were heard of last, in the order that they had.
func latest(rows []nexussim.Row, n int) []nexussim.Row {
	byTime := slices.SortedStableFunc(slices.Values(rows), func(a, b nexussim.Row) int { return b.LastSeen.Compare(a.LastSeen) })
	keep := map[uuid.UUID]bool{}
	for _, r := range byTime[:n] {
		keep[r.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r nexussim.Row) bool { return !keep[r.ID] })
}

func (v view) row(r nexussim.Row) string {
	state, answer := string(r.State()), "none yet"
	if state == "" {
		state = "-"
	}
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

func listOr(items []string, none string) string {
	if len(items) == 0 {
		return none
	}
	return strings.Join(items, " ")
}

// age is a duration in its largest whole unit.
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

func cut(s string, width int) string {
	if len(s) <= width {
		return s
	}
	return s[:width]
}
