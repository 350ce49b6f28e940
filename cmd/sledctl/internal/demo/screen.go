package demo

import (
	"context"
	"fmt"
	"io"
	"os"
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
		return &canvas{w: w}
	}
	return &journal{w: w}
}

// A canvas draws the table again and again in the same place.
type canvas struct {
	w     io.Writer
	drawn int // lines
}

func (c *canvas) show(all []facts, now time.Time) {
	lines := picture(all, now)
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
	for i, f := range all {
		var before facts
		if i < len(j.before) {
			before = j.before[i]
		}
		for _, line := range news(before, f) {
			fmt.Fprintln(j.w, line)
		}
	}
	j.before = all
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
