package view

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// maxDrainRows bounds the table that is drawn again and again, so that it fits on a
// terminal.
const maxDrainRows = 15

// Drain describes a sled's disposition.
func (v View) Drain(s disposition.Status) string {
	var out strings.Builder
	switch d := s.Operator; {
	case s.Disposition == disposition.Available:
		out.WriteString("This sled takes VMMs.\n")
	case d != nil && s.VMMs == 0:
		out.WriteString("This sled is drained: no VMM is left, and none is registered or started.\n")
	case d != nil:
		fmt.Fprintf(&out, "This sled is being drained: %s left; what still runs is removed by force at %s.\n", countLeft(s.VMMs), v.At(d.Deadline))
	default:
		fmt.Fprintf(&out, "This sled takes no VMMs: %s. %s left.\n", clean(s.Why), countLeft(s.VMMs))
	}
	for _, t := range s.Troubles {
		out.WriteString(v.paint(trouble, "! "+clean(t)) + "\n")
	}
	return out.String()
}

func countLeft(n int) string {
	if n == 1 {
		return "1 VMM is"
	}
	return fmt.Sprintf("%d VMMs are", n)
}

// Drained reports whether a VMM has ended, as far as this sled is concerned.
func Drained(s vmm.Status) bool { return s.Record.VMM.State.Terminal() }

// DrainProgress returns a table of the VMMs that have not ended, with the time that each
// has left.
func (v View) DrainProgress(all []vmm.Status) string {
	t := table{oneLine: true} // the number of lines is bounded
	t.row(v.header("ID", "HOSTNAME", "STATE", "LEFT", "WAITS FOR")...)
	left, digits := 0, PrefixLength(all)
	for _, s := range all {
		if Drained(s) {
			continue
		}
		if left++; left <= maxDrainRows {
			t.row(cell{text: s.ID.String()[:digits], style: strong}, cell{text: v.short(s.Hostname)},
				cell{text: string(s.Record.VMM.State)}, v.leftCell(s), v.progressCell(s))
		}
	}
	ended := fmt.Sprintf("%d of %s ended", len(all)-left, vmms(len(all)))
	switch {
	case left == 0:
		return ended + "\n"
	case left > maxDrainRows:
		ended += fmt.Sprintf("; %d more are left", left-maxDrainRows)
	}
	return t.render(v) + ended + "\n"
}

// progressCell says what a VMM waits for, or what is wrong with it.
func (v View) progressCell(s vmm.Status) cell {
	if troubles := admin.Troubles(s, v.Now); len(troubles) > 0 {
		return cell{text: troubles[0], style: trouble}
	}
	return cell{text: orDash(v, s.WaitsFor)}
}

func (v View) leftCell(s vmm.Status) cell {
	if r := s.Removal; r != nil {
		return cell{text: "removal: " + orDash(v, r.Rung)}
	}
	return v.deadlineCell(s)
}

// DrainStep describes where a VMM is in a drain, in one line.
func (v View) DrainStep(s vmm.Status) string {
	text := fmt.Sprintf("%s %s is %s, %s", s.ID.String()[:minPrefix], clean(s.Hostname), s.Record.VMM.State, s.Phase)
	if r := s.Removal; r != nil && r.Gone == nil && r.Rung != "" {
		text += " (" + r.Rung + ")"
	}
	return text
}

// DrainResult returns a table of how the VMMs of a drain have ended, or what they are.
func (v View) DrainResult(all []vmm.Status) string {
	if len(all) == 0 {
		return "There were no VMMs on this sled.\n"
	}
	var t table
	t.row(v.header("", "ID", "HOSTNAME", "RESULT", "REASON")...)
	for _, s := range all {
		mark, result := cell{}, cell{text: string(s.Record.VMM.State)}
		if s.Record.VMM.State != vmm.WireDestroyed {
			mark, result.style = cell{text: "!", style: trouble}, trouble
		}
		reason := s.Reason
		if !Drained(s) {
			reason = "has not ended: waits for " + orDash(v, s.WaitsFor)
		}
		t.row(mark, cell{text: s.ID.String()[:min(PrefixLength(all), len(uuid.Nil.String()))], style: strong},
			cell{text: v.short(s.Hostname)}, result, cell{text: orDash(v, reason)})
	}
	return t.render(v)
}
