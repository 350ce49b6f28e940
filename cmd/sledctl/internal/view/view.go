package view

import (
	"strings"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
	grid "github.com/sledagent/sledagent/internal/table"
)

// A View describes the output device. The zero View is a file in ASCII.
type View struct {
	// Now is the current time, for relative times.
	Now time.Time
	// Zone is the time zone to show; nil is UTC.
	Zone *time.Location
	// Color allows terminal colors.
	Color bool
	// Width is the terminal's width in columns; 0 for no limit.
	Width int
	// Height is the terminal's height in lines; 0 for no limit.
	Height int
	// Wide adds columns to tables of VMMs.
	Wide bool
	// UTF8 allows drawing characters beyond ASCII.
	UTF8 bool
}

// A style is a terminal style. Red is used only for trouble.
type style string

const (
	normal  style = ""
	trouble style = "31"
	strong  style = "1"
	faint   style = "2"
)

func (v View) paint(s style, text string) string {
	if !v.Color || s == normal || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// glyphs are the drawing characters of timelines and trees.
type glyphs struct{ event, failed, deadline, now, ahead, line, tee, corner, dash, dots string }

func (v View) glyphs() glyphs {
	if v.UTF8 {
		return glyphs{event: "●", failed: "✗", deadline: "◆", now: "○", ahead: "◇", line: "│", tee: "├", corner: "└", dash: "–", dots: "…"}
	}
	return glyphs{event: "*", failed: "x", deadline: "#", now: "o", ahead: "?", line: "|", tee: "|", corner: "`", dash: "-", dots: "..."}
}

// short truncates a hostname on a terminal.
func (v View) short(hostname string) string {
	if v.Width == 0 || width(hostname) <= maxHostname {
		return hostname
	}
	return grid.Cut(hostname, maxHostname, v.glyphs().dots)
}

// wrapped breaks text between words at the terminal's width. The first line begins at
// column, and the others are indented to it.
func (v View) wrapped(s style, text string, column int) string {
	var lines []string
	for word := range strings.SplitSeq(text, " ") {
		last := len(lines) - 1
		if last < 0 || v.Width > 0 && column+width(lines[last]+" "+word) > v.Width {
			lines = append(lines, word)
		} else {
			lines[last] += " " + word
		}
	}
	for i := range lines {
		lines[i] = v.paint(s, lines[i])
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", column))
}

// clean keeps text on one line without control characters: errors may contain output of
// commands and guests.
func clean(text string) string { return plain.Line(text, len(text)) }

func width(text string) int { return grid.Width(text) }

func padRight(text string, to int) string { return grid.PadRight(text, to) }

func padLeft(text string, to int) string { return grid.PadLeft(text, to) }
