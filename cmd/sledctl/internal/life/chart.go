// Package life arranges what is known of a VMM as bars over time, for a terminal and for a
// figure. It is pure.
package life

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A Part of a life is what a chart covers.
type Part string

// The parts. Stop and Removal last until the end, as far as it has come.
const (
	Whole   Part = "life"
	Stop    Part = "stop"
	Removal Part = "removal"
)

// A Chart has a row of bars for each thing that happened to a VMM.
type Chart struct {
	ID       uuid.UUID `json:"id"`
	Hostname string    `json:"hostname"`
	Part     Part      `json:"part"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	// Deadline is that of the stop; it may lie outside of the chart.
	Deadline *time.Time `json:"deadline,omitempty"`
	// Now is absent once the agent has forgotten the VMM.
	Now  *time.Time `json:"now,omitempty"`
	Rows []Row      `json:"rows"`
}

// A Row has the bars of one thing, and a short text.
type Row struct {
	Label string `json:"label"`
	Bars  []Bar  `json:"bars"`
	Note  string `json:"note"`
}

// A Bar is a time in which something happened, which may be a moment.
type Bar struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Kind Kind      `json:"kind"`
}

// A Kind says how something went.
type Kind string

const (
	Done    Kind = "done"
	Failed  Kind = "failed"
	Pending Kind = "pending" // it goes on
	Left    Kind = "left"    // it may still happen
)

// rungs are the steps of a removal, whose events have the time of their beginning. Other
// events have that of their end.
var rungs = []string{"look", "kill", "halt", "destroy-vm", "uninstall", "delete", "release", "verify"}

// phaseForgotten is the phase of a VMM of which the agent has only a record.
var phaseForgotten = vmm.Forgotten.String()

// Of returns the chart of a part of a VMM's life. An empty part is that of its stop or
// removal, or all of it if there is none yet.
func Of(s vmm.Status, part Part, now time.Time) (Chart, error) {
	if part == "" {
		part = defaultPart(s)
	}
	c := Chart{ID: s.ID, Hostname: s.Hostname, Part: part, Rows: []Row{}}
	if s.Phase != phaseForgotten {
		c.Now = &now
	}
	switch {
	case part == Stop && s.Stop != nil:
		c.From = s.Stop.Requested
	case (part == Removal || part == Stop) && s.Removal != nil:
		c.From = s.Removal.Begun
	case part == Whole && len(s.Events) > 0:
		c.From = s.Events[0].At
		if took := s.Events[0].Took; !slices.Contains(rungs, s.Events[0].Kind) {
			c.From = c.From.Add(-took)
		}
	case part == Whole:
		c.From = s.Since
	default:
		return c, fmt.Errorf("VMM %s has no %s yet", s.ID, part)
	}
	b := builder{Chart: c, s: s, end: now}
	b.build()
	return b.Chart, nil
}

func defaultPart(s vmm.Status) Part {
	if s.Stop != nil || s.Removal != nil {
		return Stop
	}
	return Whole
}

// A builder makes the rows of a chart.
type builder struct {
	Chart
	s   vmm.Status
	end time.Time // of what is not over
}

func (b *builder) build() {
	if b.Part == Whole {
		b.start()
	}
	if b.Part != Removal {
		b.stop()
	}
	b.removal()
	b.published()
	b.clip()
	b.To = b.From
	for _, r := range b.Rows {
		for _, bar := range r.Bars {
			b.To = latest(b.To, bar.To)
		}
	}
	if b.Now != nil {
		b.To = latest(b.To, *b.Now)
	}
}

// clip limits bars to what follows the chart's beginning and drops rows without any there.
func (b *builder) clip() {
	b.Rows = slices.DeleteFunc(b.Rows, func(r Row) bool {
		return len(r.Bars) > 0 && !slices.ContainsFunc(r.Bars, func(bar Bar) bool { return !bar.To.Before(b.From) })
	})
	for _, r := range b.Rows {
		for i := range r.Bars {
			r.Bars[i].From = latest(r.Bars[i].From, b.From)
			r.Bars[i].To = latest(r.Bars[i].To, r.Bars[i].From)
		}
	}
}

func (b *builder) row(label, note string, bars ...Bar) {
	b.Rows = append(b.Rows, Row{Label: label, Bars: bars, Note: note})
}

// start adds how the VMM came to run, and for how long it has.
func (b *builder) start() {
	for _, kind := range []string{"zone-created", "zone-booted", "ensured"} {
		if bars, note := b.bars(kind); len(bars) > 0 {
			b.row(kind, note, bars...)
		}
	}
	i := slices.IndexFunc(b.s.Events, func(e vmm.Event) bool {
		return (e.Kind == "observed" || e.Kind == "propolis") && strings.HasPrefix(e.Text, "Running")
	})
	if i < 0 {
		return
	}
	bar := Bar{b.s.Events[i].At, b.end, Pending}
	if r := b.s.Removal; r != nil {
		bar.To, bar.Kind = r.Begun, Done
	}
	b.row("running", admin.Span(bar.To.Sub(bar.From)), bar)
}

// stop adds the request to stop and its grace.
func (b *builder) stop() {
	s := b.s.Stop
	if s == nil {
		return
	}
	end, kind := b.end, Pending
	if r := b.s.Removal; r != nil {
		end, kind = r.Begun, Failed
	}
	switch {
	case s.Acked != nil:
		b.row("asked", "accepted +"+admin.Span(s.Acked.Sub(s.Requested)), Bar{s.Requested, *s.Acked, Done})
	case s.Grace == 0: // a kill: Propolis is not waited for
	case s.By == string(vmm.ByGuest):
		b.row("asked", "by the guest", Bar{s.Requested, s.Requested, Done})
	default:
		b.row("asked", "not accepted", Bar{s.Requested, latest(end, s.Requested), kind})
	}
	if s.Soft > 0 {
		b.row("soft", admin.Span(s.Soft), Bar{s.Requested, earliest(s.Requested.Add(s.Soft), latest(end, s.Requested)), Done})
	}
	deadline := s.Requested.Add(s.Grace)
	if b.s.Deadline != nil && b.s.DeadlineFor == "stop" {
		deadline = *b.s.Deadline
	}
	b.Deadline = &deadline
	grace := []Bar{{s.Requested, earliest(latest(end, s.Requested), deadline), Done}}
	if b.s.Removal == nil && deadline.After(end) {
		grace = slices.Insert(grace, 0, Bar{end, deadline, Left}) // below the other
	}
	b.row("grace", admin.Span(s.Grace), grace...)
}

// removal adds the evidence, each rung and the end of the zone.
func (b *builder) removal() {
	r := b.s.Removal
	if r == nil {
		return
	}
	seen := map[string]bool{}
	for _, e := range b.s.Events {
		if seen[e.Kind] || e.Kind != "evidence" && !slices.Contains(rungs, e.Kind) {
			continue
		}
		seen[e.Kind] = true
		bars, note := b.bars(e.Kind)
		if r.Gone == nil && e.Kind == r.Rung {
			last := bars[len(bars)-1]
			bars = append(bars, Bar{last.To, latest(b.end, last.To), Pending})
		}
		b.row(e.Kind, note, bars...)
	}
	if r.Gone == nil {
		if !seen[r.Rung] {
			b.row(cmp.Or(r.Rung, "removal"), admin.Span(b.end.Sub(r.Begun)), Bar{r.Begun, latest(b.end, r.Begun), Pending})
		}
		b.row("gone", "not yet")
		return
	}
	b.row("gone", "+"+admin.Span(r.Gone.Sub(b.From)), Bar{*r.Gone, *r.Gone, Done})
}

// published adds when Nexus got to know the end, or has yet to.
func (b *builder) published() {
	p := b.s.Publish
	if p == nil || b.s.Disowned {
		return
	}
	ended := b.s.Record.VMM.State.Terminal()
	updated := b.s.Record.VMM.Updated
	if admin.Unpublished(b.s) {
		b.row("published", "not yet", Bar{updated, latest(b.end, updated), Pending})
		return
	}
	for _, e := range slices.Backward(b.s.Events) {
		if e.Kind == "published" {
			from := e.At
			if ended {
				from = earliest(updated, e.At)
			}
			b.row("published", "+"+admin.Span(e.At.Sub(b.From)), Bar{from, e.At, Done})
			return
		}
	}
}

// bars returns a bar for each event of a kind, and their whole time.
func (b *builder) bars(kind string) (bars []Bar, note string) {
	var total time.Duration
	times := 0
	for _, e := range b.s.Events {
		if e.Kind != kind {
			continue
		}
		begun := e.At
		if !slices.Contains(rungs, kind) {
			begun = begun.Add(-e.Took)
		}
		bar := Bar{begun, begun.Add(e.Took), Done}
		if e.Error != "" {
			bar.Kind = Failed
		}
		bars = append(bars, bar)
		if e.Last != nil { // several in one: their first and their last, or what is as good as one
			last := Bar{e.Last.Add(begun.Sub(e.At)), e.Last.Add(bar.To.Sub(e.At)), bar.Kind}
			if whole := last.To.Sub(bar.From); time.Duration(e.Times)*e.Took > whole/2 {
				bars[len(bars)-1].To = last.To
			} else {
				bars = append(bars, last)
			}
		}
		total += e.Took * time.Duration(max(e.Times, 1))
		times += max(e.Times, 1)
	}
	if total > 0 {
		note = admin.Span(total)
	} else if len(bars) > 0 {
		note = "+" + admin.Span(bars[0].From.Sub(b.From))
	}
	if times > 1 {
		note += fmt.Sprintf(", %d times", times)
	}
	return bars, note
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
