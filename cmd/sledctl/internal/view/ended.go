package view

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// Ended returns a table of ended VMMs in the given order.
func (v View) Ended(all []vmm.Status, o ListOptions) string {
	digits := len(uuid.Nil.String())
	if !o.Full && !v.Wide {
		digits = PrefixLength(all)
	}
	var t table
	names := []string{"ID", "HOSTNAME", "STATE", "GEN", "ENDED", "ASKED BY", "WHY"}
	if v.Wide {
		names = slices.Insert(names, len(names)-1, "INSTANCE")
	}
	t.row(v.header(names...)...)
	shown := 0
	for _, s := range all {
		if o.Unhealthy && len(admin.Troubles(s, v.Now)) == 0 {
			continue
		}
		t.row(v.endedRow(s, digits)...)
		shown++
	}
	switch {
	case len(all) == 0:
		return "The agent has no record of a VMM that has ended.\n"
	case shown == 0:
		return fmt.Sprintf("None of %s was in trouble when it ended.\n", vmms(len(all)))
	}
	return t.render(v)
}

func (v View) endedRow(s vmm.Status, digits int) []cell {
	state, by := cell{text: string(s.Record.VMM.State)}, ""
	if s.Record.VMM.State == vmm.WireFailed {
		state.style = trouble
	}
	if s.Stop != nil {
		by = s.Stop.By
	}
	cells := []cell{
		{text: s.ID.String()[:digits], style: strong},
		{text: v.short(clean(s.Hostname))},
		state,
		{text: fmt.Sprint(s.Record.VMM.Gen), right: true},
		{text: v.At(s.Since)},
		{text: orDash(v, by)},
	}
	if v.Wide {
		cells = append(cells, cell{text: s.InstanceID.String()})
	}
	return append(cells, cell{text: orDash(v, clean(s.Reason))})
}
