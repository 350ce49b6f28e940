package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// frame is how often the picture is drawn at most, and redraw how often at
	// least, so that the clock in it moves.
	frame  = 50 * time.Millisecond
	redraw = 100 * time.Millisecond
)

// A screen shows the facts while they come in.
type screen interface {
	// show brings what is shown up to date.
	show(all []facts, now time.Time)
	// clear takes away what the final report will say again.
	clear()
}

func screenFor(w io.Writer) screen {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &canvas{w: w, columns: func() int {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
				return columns
			}
			return usualColumns
		}}
	}
	return &journal{w: w}
}

// A canvas draws the table again and again in the same place.
type canvas struct {
	w       io.Writer
	columns func() int // the terminal's width now
	drawn   int        // lines
}

// usualColumns is the width of a terminal that does not tell.
const usualColumns = 80

func (c *canvas) show(all []facts, now time.Time) {
	lines := picture(all, now)
	columns := c.columns()
	for i, l := range lines {
		// A line that wrapped would take two, and the next picture begin too low.
		lines[i] = l[:min(len(l), columns)]
	}
	fmt.Fprint(c.w, c.home()+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n")
	c.drawn = len(lines)
}

func (c *canvas) clear() {
	fmt.Fprint(c.w, c.home()+"\x1b[J")
	c.drawn = 0
}

// home moves the cursor to where the picture begins.
func (c *canvas) home() string {
	if c.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA", c.drawn)
}

// A journal prints a line for each thing that happened.
type journal struct {
	w      io.Writer
	before []facts
}

func (j *journal) show(all []facts, _ time.Time) {
	var items []item
	for i, f := range all {
		var before facts
		if i < len(j.before) {
			before = j.before[i]
		}
		items = append(items, news(before, f)...)
	}
	j.before = all
	slices.SortStableFunc(items, func(a, b item) int { return a.at.Compare(b.at) })
	for _, i := range items {
		fmt.Fprintln(j.w, i.text)
	}
}

func (j *journal) clear() { fmt.Fprintln(j.w) }

// keepShowing shows the board until ctx ends, and once more then.
func keepShowing(ctx context.Context, b *board, s screen) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		s.show(b.look(), time.Now())
		select {
		case <-ctx.Done():
			s.show(b.look(), time.Now())
			return
		case <-tick.C:
		case <-b.changed:
			pause := time.NewTimer(frame)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		}
	}
}
