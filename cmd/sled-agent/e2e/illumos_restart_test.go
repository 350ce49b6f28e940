package e2e

import (
	"testing"

	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// Removals go on where the agent's death has left them (R, Z).
func TestRestartResumesRemoval(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	vms := l.launchMany(4)
	link, _ := g.Zone(vms[2].zone())
	hangs := []*illumostest.Injected{
		g.Inject(hanging(illumostest.During, "zoneadmd", "halt", vms[0].zone())),
		g.Inject(hanging(illumostest.During, "zoneadm", "uninstall", vms[1].zone())),
		g.Inject(hanging(illumostest.Before, "dladm", "delete-vnic", link.Config.Links()[0])),
		g.Inject(hanging(illumostest.After, "zonecfg", "delete", vms[3].zone())),
	}
	for i, v := range vms {
		v.stop(0)
		hangs[i].WaitStruck(1)
	}
	l.restart()
	g.ReleaseAll()
	for _, v := range vms {
		v.endsDestroyed()
	}
}

func hanging(when, command, verb, object string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Hang, When: when, Command: command, Verb: verb, Object: object, Times: 1}
}
