package view

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/internal/plain"
)

// leastTroubles is how many lines are left to VMMs in trouble, however low the terminal is.
const leastTroubles = 3

// maxCause bounds a trouble on a terminal, in bytes. The cause is often at the end.
const maxCause = 240

// Status describes a sled on one screen: below the terminal's height, the VMMs in trouble
// that do not fit are counted.
func (v View) Status(s summary.Summary) string {
	p := &page{view: v}
	p.headline(s)
	p.line("since", fmt.Sprintf("%s (pid %d)", v.At(s.Agent.Started), s.Agent.PID))
	p.line("sled", s.Agent.SledID)
	p.line("sled API", cmp.Or(s.Agent.API, "does not listen"))
	p.line("zones", s.Agent.Backend+": "+s.Agent.Isolation)
	if s.Orphans > 0 {
		p.line("", ofNobody(s.Orphans)+"; `sledctl zone list` says why")
	}
	p.nexusInBrief(s)
	p.drainInBrief(s)
	p.line("ledger", onDisk(s.Degraded))
	p.line("VMMs", countStates(s.VMMs))
	for _, t := range s.Troubles {
		p.styled("TROUBLE", trouble, t)
	}
	if len(s.Unwell) > 0 {
		fmt.Fprintf(&p.out, "\n%s in trouble:\n", vmms(len(s.Unwell)))
		room := math.MaxInt
		if v.Height > 0 {
			room = max(v.Height-1-strings.Count(p.out.String(), "\n"), leastTroubles)
		}
		p.out.WriteString(v.unwell(s.Unwell, room))
	}
	return p.out.String()
}

func (p *page) headline(s summary.Summary) {
	glyph, style, how := p.view.glyphs().event, strong, "well"
	if !s.Well {
		glyph, style, how = "!", trouble, "in trouble"
	}
	fmt.Fprintf(&p.out, "%s %s %s, %s\n", p.view.paint(style, glyph), p.view.paint(strong, "sled-agent"), clean(s.Agent.Version), p.view.paint(style, how))
}

func (p *page) nexusInBrief(s summary.Summary) {
	n := s.Nexus
	if len(s.Agent.Nexus)+len(s.Agent.NexusDNS) == 0 {
		p.line("nexus", replicas(s.Agent))
		return
	}
	text := plural(n.Replicas, "replica")
	if n.Silent > 0 {
		text += fmt.Sprintf(", %d without an answer", n.Silent)
	}
	lag := "knows all states"
	if n.Waiting > 0 {
		lag = "has not acknowledged the newest state of " + vmms(n.Waiting)
		if n.Since != nil {
			lag += ", the oldest from " + p.view.At(*n.Since)
		}
	}
	p.line("nexus", text+"; "+lag)
	if n.Refused+n.GaveUp > 0 {
		p.line("", fmt.Sprintf("since the start: refused %s, never acknowledged %s", plural(n.Refused, "record"), plural(n.GaveUp, "end")))
	}
}

func (p *page) drainInBrief(s summary.Summary) {
	v, d := p.view, s.Drain
	switch {
	case d.Why == "":
		p.line("drain", "none, takes VMMs")
	case d.Operator != nil && d.VMMs > 0:
		p.line("drain", fmt.Sprintf("%s; %s left, by force at %s", d.Why, countLeft(d.VMMs), v.At(d.Operator.Deadline)))
	default:
		p.line("drain", fmt.Sprintf("takes no VMMs: %s; %s left", d.Why, countLeft(d.VMMs)))
	}
}

// ofNobody says that zones belong to no VMM.
func ofNobody(n int) string {
	if n == 1 {
		return "1 zone belongs to no VMM"
	}
	return fmt.Sprintf("%d zones belong to no VMM", n)
}

func onDisk(degraded int) string {
	if degraded == 0 {
		return "all that was accepted is on disk"
	}
	return "what was accepted of " + vmms(degraded) + " is not on disk"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// countStates lists the states by the number of their VMMs.
func countStates(by map[vmm.WireState]int) string {
	total := 0
	var states []vmm.WireState
	for state, n := range by {
		total += n
		states = append(states, state)
	}
	if total == 0 {
		return "none"
	}
	slices.SortFunc(states, func(a, b vmm.WireState) int { return cmp.Or(by[b]-by[a], strings.Compare(string(a), string(b))) })
	var parts []string
	for _, state := range states {
		parts = append(parts, fmt.Sprintf("%d %s", by[state], state))
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}

// unwell lists VMMs, each with its worst trouble, in as many lines as there is room for.
func (v View) unwell(all []summary.VMM, room int) string {
	digits, longest := minPrefix, 0
	for _, s := range all {
		longest = max(longest, width(v.short(clean(s.Hostname))))
	}
	var out strings.Builder
	for i, s := range all {
		text := clean(s.Troubles[0])
		if v.Height > 0 {
			text = plain.ClipMiddle(text, maxCause)
		}
		if more := len(s.Troubles) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		host := padRight(v.short(clean(s.Hostname)), longest)
		row := fmt.Sprintf("  %s %s  %s  %s\n", v.paint(trouble, "!"), v.paint(strong, s.ID.String()[:digits]), host,
			v.wrapped(trouble, text, 2+2+digits+2+longest+2))
		// The last line is for the number of those that do not fit.
		room -= strings.Count(row, "\n")
		if room < 0 || room == 0 && i < len(all)-1 {
			fmt.Fprintf(&out, "  and %d more; `sledctl vmm list --unhealthy` shows all\n", len(all)-i)
			break
		}
		out.WriteString(row)
	}
	return out.String()
}
