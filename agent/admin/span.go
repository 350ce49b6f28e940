package admin

import (
	"fmt"
	"strings"
	"time"
)

// Span formats a duration with its two largest units: 0.4ms, 12ms, 3.2s, 4m12s, 3h4m,
// 12d4h.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return fmt.Sprintf("%.2gms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d.Round(time.Second) < time.Hour:
		return withoutZero(d.Round(time.Second).String(), "0s")
	case d.Round(time.Minute) < day:
		return withoutZero(strings.TrimSuffix(d.Round(time.Minute).String(), "0s"), "0m")
	}
	hours := int(d.Round(time.Hour) / time.Hour)
	return withoutZero(fmt.Sprintf("%dd%dh", hours/24, hours%24), "0h")
}

// withoutZero removes a last unit that is zero: 2m0s becomes 2m, and 20s stays.
func withoutZero(text, zero string) string {
	short := strings.TrimSuffix(text, zero)
	if short == "" || !strings.ContainsRune("dhm", rune(short[len(short)-1])) {
		return text
	}
	return short
}
