package view

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/agent/admin"
)

// About says which agent it is.
func (v View) About(a admin.About) string {
	p := &page{view: v}
	fmt.Fprintf(&p.out, "%s %s\n\n", v.paint(strong, "sled-agent"), clean(a.Version))
	p.line("sled", a.SledID)
	p.line("pid", fmt.Sprint(a.PID))
	p.line("started", v.At(a.Started))
	p.line("sled API", a.API)
	nexus := strings.Join(a.Nexus, ", ")
	if nexus == "" {
		nexus = "none: standalone, nothing is published"
	}
	p.line("nexus", nexus)
	p.line("zones", a.Backend)
	p.line("isolation", a.Isolation)
	p.line("VMMs", fmt.Sprint(a.VMMs))
	return p.out.String()
}
