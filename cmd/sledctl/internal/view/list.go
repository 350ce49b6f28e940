package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// ListOptions select the listed VMMs and the format.
type ListOptions struct {
	// Full shows full ids instead of the shortest unique prefixes.
	Full bool
	// Unhealthy lists only VMMs in trouble.
	Unhealthy bool
}

// List returns a table of VMMs, with a line for each trouble below its VMM. all must be
// all of the agent's VMMs, even if o selects fewer: prefixes and totals are computed from
// them.
func (v View) List(all []vmm.Status, o ListOptions) string {
	if len(all) == 0 {
		return "There are no VMMs on this sled.\n"
	}
	digits := len(uuid.Nil.String())
	if !o.Full && !v.Wide {
		digits = PrefixLength(all)
	}
	names := []string{"", "ID", "HOSTNAME", "STATE", "GEN", "PHASE", "FOR", "DEADLINE", "WAITS FOR"}
	if v.Wide {
		names = slices.Insert(names, len(names)-1, "INSTANCE", "PID", "SERVES ON")
	}
	var t table
	t.row(v.header(names...)...)
	unwell := 0
	for _, s := range all {
		troubles := admin.Troubles(s, v.Now)
		if len(troubles) > 0 {
			unwell++
		} else if o.Unhealthy {
			continue
		}
		t.row(v.listRow(s, digits, len(troubles) > 0)...)
		for i, text := range troubles {
			t.note(cell{text: "   " + v.branch(i == len(troubles)-1) + " " + clean(text), style: trouble})
		}
	}
	if o.Unhealthy && unwell == 0 {
		return fmt.Sprintf("None of %s is in trouble.\n", vmms(len(all)))
	}
	return t.render(v) + v.total(unwell, len(all))
}

// branch returns the glyph that connects a note to its row.
func (v View) branch(last bool) string {
	if last {
		return v.glyphs().corner
	}
	return v.glyphs().tee
}

func (v View) header(names ...string) []cell {
	cells := make([]cell, len(names))
	for i, n := range names {
		cells[i] = cell{text: n, style: faint, right: n == "GEN" || n == "FOR" || n == "PID"}
	}
	return cells
}

func (v View) listRow(s vmm.Status, digits int, unwell bool) []cell {
	mark, state := cell{}, cell{text: string(s.Record.VMM.State)}
	if unwell {
		mark = cell{text: "!", style: trouble}
		state.style = trouble
	}
	cells := []cell{
		mark,
		{text: s.ID.String()[:digits], style: strong},
		{text: v.short(s.Hostname)},
		state,
		{text: fmt.Sprint(s.Record.VMM.Gen), right: true},
		{text: s.Phase},
		{text: admin.Span(max(v.Now.Sub(s.Since), 0)), right: true},
		v.deadlineCell(s),
	}
	if v.Wide {
		pid := v.glyphs().dash
		if s.PID != 0 {
			pid = strconv.Itoa(s.PID)
		}
		cells = append(cells, cell{text: s.InstanceID.String()}, cell{text: pid, right: true}, cell{text: orDash(v, s.Addr)})
	}
	return append(cells, cell{text: orDash(v, s.WaitsFor)})
}

func (v View) deadlineCell(s vmm.Status) cell {
	switch {
	case s.Deadline == nil || s.Removal != nil:
		return cell{text: v.glyphs().dash, style: faint}
	case admin.Overdue(s, v.Now):
		return cell{text: fmt.Sprintf("%s: %s late", s.DeadlineFor, admin.Span(v.Now.Sub(*s.Deadline))), style: trouble}
	case !s.Deadline.After(v.Now):
		return cell{text: s.DeadlineFor + ": now"}
	}
	return cell{text: fmt.Sprintf("%s: in %s", s.DeadlineFor, admin.Span(s.Deadline.Sub(v.Now)))}
}

func (v View) total(unwell, all int) string {
	if unwell == 0 {
		return ""
	}
	verb := "are"
	if unwell == 1 {
		verb = "is"
	}
	return fmt.Sprintf("\n%d of %s %s in trouble; `sledctl vmm show ID` says more.\n", unwell, vmms(all), verb)
}

func vmms(n int) string {
	if n == 1 {
		return "1 VMM"
	}
	return fmt.Sprintf("%d VMMs", n)
}

func orDash(v View, text string) string {
	if text == "" {
		return v.glyphs().dash
	}
	return text
}

// maxHostname bounds the hostname on a terminal, so that the columns before "waits for"
// fit into 80 columns.
const maxHostname = 14

// minPrefix is the shortest prefix of an id shown, so that it stays unique for a while as
// VMMs come and go.
const minPrefix = 8

// PrefixLength returns how many characters make the ids of these VMMs distinct.
func PrefixLength(all []vmm.Status) int {
	for n := minPrefix; n < len(uuid.Nil.String()); n++ {
		seen := make(map[string]bool, len(all))
		for _, s := range all {
			seen[strings.TrimRight(s.ID.String()[:n], "-")] = true
		}
		if len(seen) == len(all) {
			return n
		}
	}
	return len(uuid.Nil.String())
}
