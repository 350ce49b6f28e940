package view

import (
	"time"

	"github.com/sledagent/sledagent/agent/admin"
)

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func fineClock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ago says how long before Now something was: "4m12s ago". Clocks are stepped,
// so that it may lie ahead.
func (v View) ago(t time.Time) string {
	switch d := v.Now.Sub(t); {
	case d < 0:
		return "in " + admin.Span(-d)
	case d < time.Millisecond:
		return "just now"
	default:
		return admin.Span(d) + " ago"
	}
}

// At is a moment with its distance: "22:31:40, 4m12s ago", with the date unless
// it is Now's.
func (v View) At(t time.Time) string {
	text := clock(t)
	if date(t) != date(v.Now) {
		text = date(t) + " " + text
	}
	return text + ", " + v.ago(t)
}
