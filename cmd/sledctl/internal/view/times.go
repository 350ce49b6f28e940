package view

import (
	"time"

	"github.com/sledagent/sledagent/agent/admin"
)

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func fineClock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ago returns the distance of t from Now, such as "4m12s ago". t may lie ahead, since
// clocks are set back.
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

// At returns a time with its distance, such as "22:31:40, 4m12s ago", and with the date
// unless it is Now's.
func (v View) At(t time.Time) string {
	text := clock(t)
	if date(t) != date(v.Now) {
		text = date(t) + " " + text
	}
	return text + ", " + v.ago(t)
}
