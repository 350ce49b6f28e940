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
	l := newSled(t, nil).start()
	v := l.launch(1)[0]
	v.lies("ignore-stop")
	s := v.stop(4 * time.Second)
	l.restart()
	v.removedOnTime(s)
	v.ends(vmm.WireDestroyed)
}

// A removal goes on where the agent's death has left it (R, Z).
func TestRestartResumesRemoval(t *testing.T) {
	t.Parallel()
	for _, at := range []illumostest.Fault{
		{When: illumostest.During, Command: "zoneadmd", Verb: "halt", State: "down"},
		{When: illumostest.During, Command: "zoneadm", Verb: "uninstall"},
		{When: illumostest.Before, Command: "dladm", Verb: "delete-vnic"},
		{When: illumostest.After, Command: "zonecfg", Verb: "delete"},
	} {
		t.Run(at.Command+" "+at.Verb, func(t *testing.T) {
			l := newSled(t, nil).start()
			v := l.launch(1)[0]
			at.Do, at.Times = illumostest.Hang, 1
			hang := l.Inject(at)
			v.stop(0)
			hang.WaitStruck(1)
			l.restart()
			hang.Release()
			v.ends(vmm.WireDestroyed)
		})
	}
}

// A zone of the prefix that is no VMM's stays, unless the file says otherwise.
func TestOrphans(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]section{"kept": nil, "removed": {"orphans": "remove"}} {
		t.Run(name, func(t *testing.T) {
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
