package illumos

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// A VM outlives its agent: it is known again by its zone's id (R).
func TestRestartKeepsRunningVM(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	v := l.launch(1)[0]
	before, _ := l.Zone(v.zone)
	l.restart()
	v.lies("ignore-stop")
	stop := v.stop(time.Second)
	after, _ := l.Zone(v.zone)
	if after.UniqID != before.UniqID || after.ServerPID != before.ServerPID {
		t.Errorf("the zone was boot %d with server %d and is %d with %d", before.UniqID, before.ServerPID, after.UniqID, after.ServerPID)
	}
	v.removedOnTime(stop)
	v.ends(vmm.WireDestroyed)
}

// A stop's deadline outlives the agent that has accepted it (D, R).
func TestRestartKeepsDeadline(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	v := l.launch(1)[0]
	v.lies("ignore-stop")
	s := v.stop(4 * time.Second)
	l.restart()
	v.removedOnTime(s)
	v.ends(vmm.WireDestroyed)
}

// Removals go on where the agent's death has left them (R, Z).
func TestRestartResumesRemoval(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	vms := l.launch(4)
	link, _ := l.Zone(vms[2].zone)
	hangs := []*illumostest.Injected{
		l.Inject(hanging(illumostest.During, "zoneadmd", "halt", vms[0].zone)),
		l.Inject(hanging(illumostest.During, "zoneadm", "uninstall", vms[1].zone)),
		l.Inject(hanging(illumostest.Before, "dladm", "delete-vnic", link.Config.Links()[0])),
		l.Inject(hanging(illumostest.After, "zonecfg", "delete", vms[3].zone)),
	}
	for i, v := range vms {
		v.stop(0)
		hangs[i].WaitStruck(1)
	}
	l.restart()
	l.ReleaseAll()
	for _, v := range vms {
		v.ends(vmm.WireDestroyed)
	}
}

func hanging(when, command, verb, object string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Hang, When: when, Command: command, Verb: verb, Object: object, Times: 1}
}

// A zone of the prefix that is no VMM's stays, unless the file says otherwise.
func TestOrphans(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]section{"kept": nil, "removed": {"orphans": "remove"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newSled(t, change)
			zone := prefix + uuid.NewString()
			l.make(zone)
			l.start()
			l.until("the orphan is noticed", func() bool { return strings.Contains(l.said(), "zone belongs to no VMM") })
			if name == "removed" {
				l.until("the orphan is gone", func() bool { return l.State(zone) == "" })
				return
			}
			t.Cleanup(func() { l.unmake(zone) })
			v := l.launch(1)[0]
			v.stop(minute)
			v.ends(vmm.WireDestroyed)
			if got := l.State(zone); got != "running" {
				t.Errorf("the orphan is %q", got)
			}
		})
	}
}

// make makes a zone and boots it, as somebody else would.
func (l *sled) make(zone string) {
	l.t.Helper()
	for _, argv := range [][]string{
		{"zonecfg", "-z", zone, "create -b; set brand=omicron1; set ip-type=exclusive; set zonepath=" + l.ZoneRoot() + "/" + zone},
		{"zoneadm", "-z", zone, "install", l.Images()[0]},
		{"zoneadm", "-z", zone, "boot"},
	} {
		l.mustRun(argv...)
	}
}

func (l *sled) unmake(zone string) {
	l.t.Helper()
	for _, argv := range [][]string{
		{"zoneadm", "-z", zone, "halt"},
		{"zoneadm", "-z", zone, "uninstall", "-F"},
		{"zonecfg", "-z", zone, "delete", "-F"},
		{"zfs", "destroy", "rpool/zones/" + zone},
	} {
		l.mustRun(argv...)
	}
}

func (l *sled) mustRun(argv ...string) {
	l.t.Helper()
	if r := l.Run(argv[0], argv[1:]...); r.Exit != 0 {
		l.t.Fatalf("%q: exit %d, %s", argv, r.Exit, r.ErrOut)
	}
}
