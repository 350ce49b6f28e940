package view

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// Zones returns a table of the agent's zones.
func (v View) Zones(list vmm.ZoneList) string {
	var out strings.Builder
	if list.Trouble != "" {
		text := "zones may be missing: " + clean(list.Trouble)
		if !list.At.IsZero() {
			text += ", listed at " + v.At(list.At)
		}
		out.WriteString(v.wrapped(trouble, "! "+text, 2) + "\n")
	}
	if len(list.Zones) == 0 {
		return out.String() + "The agent has no zones.\n"
	}
	var t table
	t.row(v.header("", "ZONE", "STATE", "FOR", "BELONGS TO")...)
	orphans := 0
	for _, z := range list.Zones {
		mark := cell{}
		if z.Orphan {
			mark = cell{text: "!", style: trouble}
			orphans++
		}
		t.row(mark, cell{text: z.Name, style: strong}, cell{text: z.State},
			cell{text: admin.Span(max(v.Now.Sub(z.Since), 0)), right: true}, cell{text: v.ZoneOwner(z)})
	}
	out.WriteString(t.render(v))
	if orphans > 0 {
		out.WriteString("\n" + ofNobody(orphans) + "; see `sledctl zone remove --help`.\n")
	}
	return out.String()
}

// ZoneOwner says whose a zone is, and of an orphan why it is kept or how its removal goes.
func (v View) ZoneOwner(z vmm.ZoneStatus) string {
	switch {
	case z.VMM != nil:
		digits := minPrefix
		if v.Wide {
			digits = len(uuid.Nil.String())
		}
		return fmt.Sprintf("VMM %s (%s)", z.VMM.String()[:digits], z.Hostname)
	case !z.Orphan:
		return v.glyphs().dash
	case z.Removal != nil:
		text := "no VMM; is being removed"
		if z.By != "" {
			text += " by " + z.By
		}
		if r := z.Removal; r.Rung != "" {
			text += ": " + r.Rung
			if r.Attempt > 1 {
				text += fmt.Sprintf(", attempt %d", r.Attempt)
			}
			if r.LastError != "" {
				text += ": " + r.LastError
			}
		}
		return text
	case z.Kept != "":
		return "no VMM; kept: " + z.Kept
	}
	return "no VMM; will be removed"
}
