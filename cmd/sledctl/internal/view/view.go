package view

import (
	"strings"
	"time"
	"unicode/utf8"
)

// A View says for whom text is made. The zero View is a file in ASCII.
type View struct {
	// Now is the moment that "ago" counts from.
	Now time.Time
	// Color allows terminal colours.
	Color bool
	// Width is the terminal's in columns; 0 for no limit.
	Width int
	// UTF8 allows characters beyond ASCII to draw with.
	UTF8 bool
}

// A style is how a piece of text stands out. There are few on purpose: red is
// for trouble alone.
type style string

const (
	plain   style = ""
	trouble style = "31"
	strong  style = "1"
	faint   style = "2"
)

func (v View) paint(s style, text string) string {
	if !v.Color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// glyphs are what timelines and trees are drawn with.
type glyphs struct{ event, failed, deadline, now, ahead, line, tee, corner, dash, dots string }

func (v View) glyphs() glyphs {
	if v.UTF8 {
		return glyphs{event: "●", failed: "✗", deadline: "◆", now: "○", ahead: "◇", line: "│", tee: "├", corner: "└", dash: "–", dots: "…"}
	}
	return glyphs{event: "*", failed: "x", deadline: "#", now: "o", ahead: "?", line: "|", tee: "|", corner: "`", dash: "-", dots: "..."}
}

// fit cuts text that would not fit into room columns of a terminal.
func (v View) fit(text string, room int) string {
	if v.Width == 0 || width(text) <= room {
		return text
	}
	dots := v.glyphs().dots
	room = max(room-width(dots), 0)
	return string([]rune(text)[:room]) + dots
}

// clean keeps text on its line and free of terminal control: errors carry what
// helper commands and guests wrote.
func clean(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func width(text string) int { return utf8.RuneCountInString(text) }

func padRight(text string, to int) string { return text + strings.Repeat(" ", max(to-width(text), 0)) }

func padLeft(text string, to int) string { return strings.Repeat(" ", max(to-width(text), 0)) + text }
