package view

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/agent/admin"
)

// Event returns one line for an event, with the first digits characters of the VMM's id.
func (v View) Event(e admin.NamedEvent, digits int) string {
	var out strings.Builder
	if e.Lost > 0 {
		fmt.Fprintf(&out, "%s\n", v.paint(trouble, fmt.Sprintf("%s %d lost here: this reader was too slow", v.glyphs().dots, e.Lost)))
	}
	kind := normal
	if e.Error != "" {
		kind = trouble
	}
	text := clean(e.Text)
	if e.Took > 0 {
		text = strings.TrimSpace(text + v.paint(faint, "  took "+admin.Span(e.Took)))
	}
	if e.Error != "" {
		text = strings.TrimSpace(text + "  " + v.paint(trouble, v.glyphs().failed+" "+clean(e.Error)))
	}
	line := fmt.Sprintf("%s %s  %s  %s %s", v.paint(faint, v.date(e.At)), v.fineClock(e.At)+v.offset(e.At),
		v.paint(strong, e.VMM.String()[:digits]), v.paint(kind, padRight(clean(e.Kind), kindWidth)), text)
	out.WriteString(strings.TrimRight(line, " ") + "\n")
	return out.String()
}
