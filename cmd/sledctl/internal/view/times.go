package view

import (
	"fmt"
	"strings"
	"time"
)

// Span writes a duration with the two units that matter: 12ms, 3.2s, 4m12s,
// 3h4m, 12d4h.
func Span(d time.Duration) string {
	if d < 0 {
		return "-" + Span(-d)
	}
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return whole(d.Round(time.Second).String(), "0s")
	case d < day:
		return whole(strings.TrimSuffix(d.Round(time.Minute).String(), "0s"), "0m")
	}
	hours := int(d.Round(time.Hour) / time.Hour)
	return whole(fmt.Sprintf("%dd%dh", hours/24, hours%24), "0h")
}

// whole drops a last unit that is zero: 2m0s becomes 2m.
func whole(text, zero string) string {
	short := strings.TrimSuffix(text, zero)
	if short == "" || !strings.ContainsRune("dhm", rune(short[len(short)-1])) {
		return text
	}
	return short
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func fineClock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ago says how long before Now something was: "4m12s ago". Clocks are stepped,
// so that it may lie ahead.
func (v View) ago(t time.Time) string {
	switch d := v.Now.Sub(t); {
	case d < 0:
		return "in " + Span(-d)
	case d < time.Millisecond:
		return "just now"
	default:
		return Span(d) + " ago"
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
