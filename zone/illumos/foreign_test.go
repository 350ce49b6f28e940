package illumos

import (
	"errors"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// A zone that another program creates while the agent is creating it is neither
// installed nor removed, whatever zonecfg does.
func TestForeignZoneIsNotChanged(t *testing.T) {
	t.Parallel()
	const installed = `cat "$4" >>"$dir/configs/$zone.xml"; state "$zone" installed; `
	for _, test := range []struct{ name, script string }{
		{"installed-and-edited", installed + `echo "Zone $zone already installed; create not allowed." >&2`},
		{"installed-and-edited-silently", installed},
		{"running", installed + `state "$zone" running 7`},
		{"configured", `cp "$4" "$dir/configs/$zone.xml"; state "$zone" configured; echo "Zone exists, input not from terminal" >&2; exit 1`},
		{"configured-over", `sed 's/value=.*/value=other/' "$4" >"$dir/configs/$zone.xml"; state "$zone" configured`},
		{"edited-and-left-out", installed + `echo "Zone $zone already installed; create not allowed." >&2; touch "$dir/out"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			h.on("zonecfg-create", test.script)
			h.on("zoneadm-list", `[ -e "$dir/out" ] || ordinary; `+listsNothing+";"+saysZone)
			h.on("pkill-run", `touch "$dir/killed"`)
			m := h.manager()
			if _, err := m.Create(bounded(t), testSpec()); !errors.Is(err, zone.ErrExists) {
				t.Errorf("got error %v, want ErrExists", err)
			}
			for verb, err := range map[string]error{"kill": m.Remove(bounded(t), zone.RungKill, testZone), "halt": m.Remove(bounded(t), zone.RungHalt, testZone),
				"uninstall": m.Remove(bounded(t), zone.RungUninstall, testZone), "delete": m.Remove(bounded(t), zone.RungDelete, testZone), "release": m.Remove(bounded(t), zone.RungRelease, testZone)} {
				if err == nil {
					t.Errorf("%s succeeded", verb)
				}
			}
			log := h.log()
			for _, command := range []string{"install", "halt", "uninstall", "delete", "create-vnic"} {
				if strings.Contains(log, " "+command) {
					t.Errorf("%s was run:\n%s", command, log)
				}
			}
			if h.has("killed") {
				t.Error("its processes were killed")
			}
			// Once its owner has removed it, the name can be used again.
			h.on("zoneadm-list", "")
			h.on("zonecfg-create", "")
			h.setState(testZone, zone.Absent)
			h.remove("configs/" + testZone + ".xml")
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Error(err)
			}
			if _, err := m.Create(bounded(t), testSpec()); err != nil {
				t.Error(err)
			}
		})
	}
}
