package view

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// labelWidth is the width of the left column of a page.
const labelWidth = 11

// A page has labelled lines. A line without a label continues the one above.
type page struct {
	view View
	out  strings.Builder
}

func (p *page) line(label, text string) { p.styled(label, normal, text) }

func (p *page) styled(label string, s style, text string) {
	if text == "" {
		return
	}
	padding := strings.Repeat(" ", max(labelWidth-width(label), 0))
	fmt.Fprintf(&p.out, "  %s%s %s\n", p.view.paint(faint, label), padding, p.view.wrapped(s, clean(text), 2+labelWidth+1))
}

func (p *page) gap() { p.out.WriteString("\n") }

// Show returns one VMM's page: its troubles, its state, what it waits for and until when,
// what was asked of each party, and its timeline.
func (v View) Show(s vmm.Status) string {
	p := &page{view: v}
	fmt.Fprintf(&p.out, "%s  %s\n\n", v.paint(strong, s.ID.String()), clean(s.Hostname))
	if troubles := admin.Troubles(s, v.Now); len(troubles) > 0 {
		for _, text := range troubles {
			fmt.Fprintf(&p.out, "  %s\n", v.wrapped(trouble, "! "+clean(text), 4))
		}
		p.gap()
	}
	p.standing(s)
	p.gap()
	p.parties(s)
	p.identity(s)
	return p.out.String() + v.timeline(s)
}

// standing adds the VMM's state, its phase and what it waits for.
func (p *page) standing(s vmm.Status) {
	v, r := p.view, s.Record.VMM
	p.line("state", fmt.Sprintf("%s, generation %d, since %s", r.State, r.Gen, v.At(r.Updated)))
	p.line("phase", fmt.Sprintf("%s, since %s", s.Phase, v.At(s.Since)))
	p.line("waits for", s.WaitsFor)
	if s.Deadline != nil {
		p.styled("deadline", p.deadlineStyle(s), p.deadline(s))
	}
	if s.Outcome != "" {
		p.line("ends", joined(s.Outcome, s.Reason))
	} else {
		p.line("reason", s.Reason)
	}
}

func (p *page) deadlineStyle(s vmm.Status) style {
	if admin.Overdue(s, p.view.Now) {
		return trouble
	}
	return normal
}

func (p *page) deadline(s vmm.Status) string {
	text := fmt.Sprintf("%s, %s", s.DeadlineFor, p.view.At(*s.Deadline))
	switch {
	case s.Removal != nil && s.Removal.Begun.Before(*s.Deadline):
		return text + ": removal began before it"
	case s.Removal != nil:
		return text + ": removal began " + admin.Span(s.Removal.Begun.Sub(*s.Deadline)) + " after it"
	case s.Deadline.After(p.view.Now):
		return text + ": then the zone is removed by force"
	}
	return text
}

// parties adds the requests to each party and their outcomes.
func (p *page) parties(s vmm.Status) {
	before := p.out.Len()
	p.stop(s.Stop)
	p.propolis(s.Propolis)
	p.unsure(s.Unsure)
	p.network(s.Network)
	p.removal(s.Removal)
	p.nexus(s)
	p.migration("in", s.Record.MigrationIn)
	p.migration("out", s.Record.MigrationOut)
	if p.out.Len() > before {
		p.gap()
	}
}

func (p *page) stop(s *vmm.StopStatus) {
	if s == nil {
		return
	}
	p.line("stop", fmt.Sprintf("asked for by %s at %s, grace %s", s.By, p.view.At(s.Requested), admin.Span(s.Grace)))
	if s.Soft > 0 {
		p.line("", fmt.Sprintf("by force if the guest has not powered off within %s", admin.Span(s.Soft)))
	}
	if s.Acked != nil {
		p.line("", "Propolis accepted it after "+admin.Span(s.Acked.Sub(s.Requested)))
	} else if s.By != string(vmm.ByGuest) {
		p.line("", "Propolis has not accepted it")
	}
}

func (p *page) propolis(s *vmm.PropolisStatus) {
	if s == nil {
		return
	}
	if s.State != "" {
		p.line("propolis", fmt.Sprintf("%s (its generation %d), seen at %s", s.State, s.Gen, p.view.At(s.Seen)))
	} else {
		p.line("propolis", "has not said anything yet")
	}
	if s.SilentSince != nil {
		p.line("", "silent since "+p.view.At(*s.SilentSince))
	}
	if s.LastError != "" && s.LastCall == "" {
		p.line("", s.LastError)
	} else if s.LastError != "" {
		p.line("", fmt.Sprintf("%s failed (attempt %d): %s", s.LastCall, s.Attempts, s.LastError))
	}
}

// unsure adds since when it is unknown whether the zone runs. The line also says that
// the VMM goes on, since a reader may suspect otherwise.
func (p *page) unsure(all []vmm.UnsureStatus) {
	for _, u := range all {
		if u.Of == vmm.OfZone {
			p.line("unsure", fmt.Sprintf("whether its zone runs, since %s, asked %d times; the VMM goes on", p.view.At(u.Since), u.Asked))
			p.line("", u.Why)
		}
	}
}

func (p *page) removal(s *vmm.RemovalStatus) {
	if s == nil {
		return
	}
	if s.Gone != nil {
		p.line("removal", fmt.Sprintf("the zone is gone since %s; it took %s", p.view.At(*s.Gone), admin.Span(s.Gone.Sub(s.Begun))))
		return
	}
	p.line("removal", fmt.Sprintf("begun at %s; %s, attempt %d; the zone is %s", p.view.At(s.Begun), s.Rung, s.Attempt, s.ZoneState))
	if s.LastError != "" {
		p.line("", "last error: "+s.LastError)
	}
}

func (p *page) nexus(s vmm.Status) {
	if s.Disowned {
		p.line("nexus", "has unregistered the VMM; nothing more is published")
	}
	pub := s.Publish
	switch {
	case pub == nil:
		return
	case !admin.Unpublished(s):
		p.line("nexus", fmt.Sprintf("knows generation %d", pub.Acked))
		return
	}
	knows := fmt.Sprintf("knows generation %d", pub.Acked)
	if pub.Acked == 0 {
		knows = "knows nothing yet"
	}
	p.line("nexus", fmt.Sprintf("%s, is offered %d (attempt %d)", knows, pub.Gen, pub.Attempts))
	if pub.LastError != "" {
		p.line("", "last error: "+pub.LastError)
	}
}

func (p *page) migration(way string, m *vmm.Migration) {
	if m != nil {
		p.line("migration", fmt.Sprintf("%s: %s, generation %d, since %s", way, m.State, m.Gen, p.view.At(m.Updated)))
		p.line("", m.ID.String())
	}
}

func (p *page) identity(s vmm.Status) {
	p.line("instance", s.InstanceID.String())
	p.line("zone", s.Zone)
	if s.PID != 0 {
		p.line("pid", fmt.Sprint(s.PID))
	}
	p.line("serves on", s.Addr)
	p.line("evidence", s.Evidence)
}

func joined(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
