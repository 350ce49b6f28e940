package admin

import (
	"fmt"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// deadlineSlack is how late a forced removal may begin, by the promise about
	// deadlines, before it counts as overdue.
	deadlineSlack = time.Second
	// longRemoval is when a removal counts as stuck though none of its steps failed. A
	// zone with much memory may take this long, so it is only a hint.
	longRemoval = 2 * time.Minute
)

// Troubles describes what is wrong with a VMM at the given time, worst first. It is
// empty for a healthy VMM, and for one that is being removed without problems.
func Troubles(s vmm.Status, now time.Time) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if Overdue(s, now) {
		add("the %s deadline passed %s ago and no removal has begun", s.DeadlineFor, Span(now.Sub(*s.Deadline)))
	}
	if t := removalTrouble(s.Removal, now); t != "" {
		add("%s", t)
	}
	if s.Degraded != "" {
		add("degraded: %s", s.Degraded)
	}
	if s.Record.VMM.State == vmm.WireFailed {
		add("%s", joined("failed", s.Reason))
	}
	for _, u := range s.Unsure {
		if u.Of == vmm.OfZone {
			add("cannot tell for %s whether its zone runs, asked %d times: %s", Span(now.Sub(u.Since)), u.Asked, u.Why)
		}
	}
	if p := s.Propolis; p != nil && s.Removal == nil {
		if p.SilentSince != nil {
			add("%s", joined("Propolis is silent for "+Span(now.Sub(*p.SilentSince)), p.LastError))
		} else if p.LastError != "" && p.Attempts > 0 {
			add("Propolis: %s, attempt %d: %s", p.LastCall, p.Attempts, p.LastError)
		}
	}
	if n := s.Network; n != nil && n.Trouble != nil {
		add("the port cannot be set up for %s, attempt %d: %s", Span(now.Sub(n.Trouble.Since)), n.Trouble.Attempts, n.Trouble.LastError)
	}
	if Unpublished(s) && s.Publish.LastError != "" {
		add("Nexus has not taken generation %d: %s", s.Publish.Gen, s.Publish.LastError)
	}
	return all
}

// Overdue reports whether a forced removal should have begun and has not.
func Overdue(s vmm.Status, now time.Time) bool {
	return s.Deadline != nil && s.Removal == nil && now.Sub(*s.Deadline) > deadlineSlack
}

// Unpublished reports whether Nexus has not acknowledged the record yet.
func Unpublished(s vmm.Status) bool {
	return s.Publish != nil && s.Publish.Acked < s.Publish.Gen && !s.Disowned
}

func removalTrouble(r *vmm.RemovalStatus, now time.Time) string {
	switch {
	case r == nil || r.Gone != nil:
		return ""
	case r.LastError != "":
		return fmt.Sprintf("removal: %s, attempt %d: %s", r.Rung, r.Attempt, r.LastError)
	case now.Sub(r.Begun) > longRemoval:
		return fmt.Sprintf("removal has been under way for %s, the zone is %s", Span(now.Sub(r.Begun)), r.ZoneState)
	}
	return ""
}

func joined(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
