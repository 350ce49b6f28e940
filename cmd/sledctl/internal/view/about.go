package view

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/agent/admin"
)

// replicas describes where states are published.
func replicas(a admin.About) string {
	known, servers := strings.Join(a.Nexus, ", "), strings.Join(a.NexusDNS, ", ")
	switch {
	case known == "" && servers == "":
		return "none: standalone, nothing is published"
	case servers == "":
		return known
	case known == "":
		return "not found yet by DNS from " + servers
	}
	return known + " (by DNS from " + servers + ")"
}

// About describes the agent.
func (v View) About(a admin.About) string {
	p := &page{view: v}
	fmt.Fprintf(&p.out, "%s %s\n\n", v.paint(strong, "sled-agent"), clean(a.Version))
	p.line("sled", a.SledID)
	p.line("pid", fmt.Sprint(a.PID))
	p.line("started", v.At(a.Started))
	api := a.API
	if api == "" {
		api = "does not listen"
	}
	p.line("sled API", api)
	p.line("nexus", replicas(a))
	p.line("zones", a.Backend)
	p.line("isolation", a.Isolation)
	p.line("VMMs", fmt.Sprint(a.VMMs))
	p.line("evacuating", a.Evacuating)
	for _, trouble := range a.Troubles {
		p.line("TROUBLE", trouble+" (the agent keeps trying)")
	}
	return p.out.String()
}
