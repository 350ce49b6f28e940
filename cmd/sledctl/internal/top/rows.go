package top

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// order is the columns by which the table can be sorted, in the order of the keys.
var order = []string{view.ByTrouble, view.ByID, view.ByHostname, view.ByState, view.BySince, view.ByDeadline}

// sortBy moves to the next column, or the one before.
func (m *Model) sortBy(step int) {
	i := slices.Index(order, m.sorted) + step
	m.sorted = order[(i+len(order))%len(order)]
	m.reversed = false
}

// rows returns the VMMs that the filter leaves, in order.
func (m *Model) rows() []vmm.Status {
	var rows []vmm.Status
	for _, s := range m.all {
		if m.matches(s) {
			rows = append(rows, s)
		}
	}
	slices.SortStableFunc(rows, func(a, b vmm.Status) int {
		c := m.compare(a, b)
		if m.reversed {
			c = -c
		}
		return cmp.Or(c, strings.Compare(a.Hostname, b.Hostname), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return rows
}

// matches reports whether the filter's words are all in what is shown of a VMM.
func (m *Model) matches(s vmm.Status) bool {
	text := strings.ToLower(strings.Join([]string{s.ID.String(), s.InstanceID.String(), s.Hostname, string(s.Record.VMM.State), s.Phase,
		s.WaitsFor, strings.Join(admin.Troubles(s, m.now), " ")}, " "))
	for word := range strings.FieldsSeq(strings.ToLower(m.filter)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func (m *Model) compare(a, b vmm.Status) int {
	switch m.sorted {
	case view.ByID:
		return bytes.Compare(a.ID[:], b.ID[:])
	case view.ByHostname:
		return strings.Compare(a.Hostname, b.Hostname)
	case view.ByState:
		return strings.Compare(string(a.Record.VMM.State), string(b.Record.VMM.State))
	case view.BySince:
		return a.Since.Compare(b.Since)
	case view.ByDeadline:
		return m.deadline(a).Compare(m.deadline(b))
	}
	unwell := func(s vmm.Status) int { return min(len(admin.Troubles(s, m.now)), 1) }
	return cmp.Or(unwell(b)-unwell(a), m.deadline(a).Compare(m.deadline(b)))
}

// deadline is when a removal begins, or has begun; far away for none.
func (m *Model) deadline(s vmm.Status) time.Time {
	switch {
	case s.Removal != nil && s.Removal.Gone == nil:
		return s.Removal.Begun
	case s.Deadline == nil || s.Removal != nil:
		return m.now.AddDate(100, 0, 0)
	}
	return *s.Deadline
}
