package view

import (
	"time"

	"github.com/sledagent/sledagent/agent/admin"
)

// in returns a time in the zone to show.
func (v View) in(t time.Time) time.Time {
	if v.Zone == nil {
		return t.UTC()
	}
	return t.In(v.Zone)
}

// Clock returns a time of day with its zone, such as 22:31:40Z or 00:31:40+02:00.
func (v View) Clock(t time.Time) string { return v.in(t).Format("15:04:05Z07:00") }

// fineClock returns a time of day without its zone.
func (v View) fineClock(t time.Time) string { return v.in(t).Format("15:04:05.000") }

func (v View) offset(t time.Time) string { return v.in(t).Format("Z07:00") }

func (v View) date(t time.Time) string { return v.in(t).Format(time.DateOnly) }

// zoneName returns the zone of a time, such as UTC or +02:00.
func (v View) zoneName(t time.Time) string {
	if v.Zone == nil {
		return "UTC"
	}
	return v.in(t).Format("-07:00")
}

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

// At returns a time with its distance, such as "22:31:40Z, 4m12s ago", and with the date
// unless it is Now's.
func (v View) At(t time.Time) string {
	text := v.Clock(t)
	if v.date(t) != v.date(v.Now) {
		text = v.date(t) + " " + text
	}
	return text + ", " + v.ago(t)
}
