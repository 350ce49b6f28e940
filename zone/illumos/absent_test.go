package illumos

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

const (
	listsNothing = `echo '0:global:running:/::ipkg:shared'`
	listsZone    = `echo '7:` + testZone + `:running:/zones/z::omicron1:excl'`
	saysZone     = `echo "zoneadm: zone '` + testZone + `': could not get zone path" >&2`
	saysOther    = `echo "zoneadm: zone 'other': could not get zone path" >&2`
)

// States that follow from lists which omit the zone or contradict themselves.
func TestAbsenceIsProved(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, list string
		configured bool
		processes  bool
		files      bool
		want       zone.State // Unknown: an error is expected
	}{
		{name: "nothing of it is there", list: listsNothing, want: zone.Absent},
		{name: "left out with a line", list: listsNothing + ";" + saysZone, configured: true, processes: true, want: zone.Unknown},
		{name: "left out without a message", list: listsNothing, configured: true, processes: true, want: zone.Unknown},
		{name: "left out while it does not run", list: listsNothing, configured: true, files: true, want: zone.Unknown},
		{name: "left out and deconfigured", list: listsNothing + ";" + saysZone, want: zone.Unknown},
		{name: "another is left out", list: listsNothing + ";" + saysOther, want: zone.Absent},
		{name: "another is left out and it runs", list: listsNothing + ";" + saysOther, processes: true, want: zone.Unknown},
		{name: "another is left out and it is configured", list: listsNothing + ";" + saysOther, configured: true, want: zone.Unknown},
		{name: "its line is garbage", list: listsNothing + "; echo x:" + testZone + ":running", configured: true, want: zone.Unknown},
		{name: "a line is garbage", list: listsNothing + "; echo 7:oxz_prop", configured: true, processes: true, want: zone.Unknown},
		{name: "two lines of it", list: listsNothing + ";" + listsZone + ";" + strings.Replace(listsZone, "running", "installed", 1), want: zone.Unknown},
		{name: "inactive with an id", list: listsNothing + ";" + strings.Replace(listsZone, "running", "installed", 1), want: zone.Unknown},
		{name: "one line twice", list: listsNothing + ";" + listsZone + ";" + listsZone, want: zone.Running},
		{name: "listed beside one that is not", list: listsNothing + ";" + listsZone + ";" + saysOther, want: zone.Running},
		{name: "in an empty state", list: listsNothing + ";" + strings.Replace(listsZone, "running", "", 1), want: zone.Unknown},
		{name: "a configuration without an index", list: listsNothing, configured: true, want: zone.Configured},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			h.on("zoneadm-list", test.list)
			if test.processes {
				h.on("pgrep-run", `[ "$*" = "-z `+testZone+`" ] && echo 4711`)
			}
			if test.configured {
				h.write("configs/"+testZone+".xml", "set zonepath=/zones/z\n")
			}
			if test.files {
				if err := os.MkdirAll(h.path("bin/root/"+testZone+"/root"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			here, elsewhere := h.config(), h.config()
			elsewhere.ZonesDir = h.path("bin/nowhere")
			for dir, cfg := range map[string]Config{"by its file": here, "by zonecfg": elsewhere} {
				want := test.want
				if dir == "by zonecfg" && strings.HasPrefix(test.name, "another is left out") {
					want = zone.Unknown // every list is incomplete, and no file proves absence
				}
				i, err := h.managerOf(cfg).Look(bounded(t), testZone)
				if want == zone.Unknown && err == nil && i.State != zone.Unknown {
					t.Errorf("%s: it is reported as %v", dir, i.State)
				}
				if want != zone.Unknown && (err != nil || i.State != want) {
					t.Errorf("%s: got %v, error %v, want %v", dir, i.State, err, want)
				}
			}
		})
	}
}

// Without access to the host's configurations, one list that omits a zone is no
// proof: the next may have it.
func TestOneListIsNoProof(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	cfg := h.config()
	cfg.ZonesDir = h.path("bin/nowhere")
	h.on("zoneadm-list", listsNothing+`; [ ! -e "$dir/second" ] || `+listsZone+`; touch "$dir/second"`)
	if i, err := h.managerOf(cfg).Look(bounded(t), testZone); err != nil || i.State != zone.Running {
		t.Errorf("got %v, error %v", i.State, err)
	}
}

// An unreadable directory of configurations is no proof.
func TestUnreadableZonesDir(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	cfg := h.config()
	cfg.ZonesDir = h.path("bin/configs/index") // not a directory
	if i, err := h.managerOf(cfg).Look(bounded(t), testZone); err == nil {
		t.Errorf("it is reported as %v", i.State)
	}
}

// A removal does not end while the list omits the zone.
func TestRemovalOfOmittedZone(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if err := createAndBoot(t, m); err != nil {
		t.Fatal(err)
	}
	h.on("zoneadm-list", `echo >>"$dir/lists"; `+listsNothing)
	ctx, cancel := context.WithCancel(bounded(t))
	removed := begin(func() error { return zone.EnsureGone(ctx, m, testZone, quick) })
	h.await("some looks", func() bool { return strings.Count(h.read("lists"), "\n") > 6 })
	cancel()
	if err := <-removed; err == nil {
		t.Error("the removal ended")
	}
	h.on("zoneadm-list", "")
	h.wantGone(m)
}

// A configuration without an index entry, left by a killed zonecfg, is removed.
func TestHalfConfiguredZoneIsRemoved(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zonecfg-create", `cp "$4" "$dir/configs/$zone.xml"; kill -9 $$`)
	if err := create(t, m); err == nil {
		t.Error("Create succeeded")
	}
	h.wantGone(m)
}
