package illumos

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// A link that dladm cannot remove counts as absent only if a list without it has the
// link that is known to exist.
func TestLinkIsGone(t *testing.T) {
	t.Parallel()
	const refuses = `echo "dladm: invalid link name '$2'" >&2; exit 1`
	for _, test := range []struct {
		name, remove, list string
		ok                 bool
	}{
		{"removed", "", "", true},
		{"absent", "rm $dir/links/$2;" + refuses, "", true},
		{"absent, with another message", "rm $dir/links/$2; exit 3", "", true},
		{"present", refuses, "", false},
		{"dlmgmtd not available", refuses, ":", false},
		{"some links are missing", refuses, "echo net0:phys::1500", false},
		{"the list is garbage", refuses, "echo underlay_stub0:etherstub::9000; echo oxControl", false},
		{"the list fails", refuses, "echo underlay_stub0:etherstub::9000; exit 1", false},
	} {
		t.Run(strings.ReplaceAll(test.name, ",", ""), func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			h.create(m)
			h.step(m, zone.RungUninstall)
			h.on("dladm-delete-vnic", test.remove)
			h.on("dladm-show-link", test.list)
			if err := m.Remove(bounded(t), zone.RungDelete, testZone); (err == nil) != test.ok {
				t.Errorf("got error %v", err)
			}
			if h.has("configs/"+testZone+".xml") == test.ok {
				t.Error("the configuration is kept without links, or deleted before them")
			}
			h.on("dladm-delete-vnic", "")
			h.on("dladm-show-link", "")
			h.wantGone(m)
		})
	}
}

// Names are not chosen from an incomplete list of links.
func TestLinkNamesNeedFullList(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.on("dladm-show-link", ":")
	if _, err := h.manager().Create(bounded(t), testSpec()); err == nil || !strings.Contains(err.Error(), "does not list underlay_stub0") {
		t.Errorf("got error %v", err)
	}
}

// Check reports what would keep zones from being created or servers from being
// reached.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, links, addrs, baseline, want string }{
		{name: "well", links: "underlay_stub0:etherstub::9000"},
		{name: "vnic", links: "underlay_stub0:vnic:net0:9000", want: "link underlay_stub0 is a vnic"},
		{name: "vlan", links: "underlay_stub0:vlan:net0:9000", want: "link underlay_stub0 is a vlan"},
		{name: "missing", links: "net0:phys::9000", want: "does not list underlay_stub0"},
		{name: "mtu", links: "underlay_stub0:phys::1500", want: "MTU 1500"},
		{name: "address", links: "underlay_stub0:etherstub::9000", addrs: `lo0/v6:static:ok:\:\:1/128`, want: "no address on underlay_stub0"},
		{name: "baseline", links: "underlay_stub0:etherstub::9000", baseline: "offline", want: `which is "offline"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			h.on("dladm-show-link", "echo '"+test.links+"'; echo underlay0:vnic:underlay_stub0:9000")
			if test.addrs != "" {
				h.on("ipadm-show-addr", "echo '"+test.addrs+"'")
			}
			h.on("svcs-run", "echo "+cmp.Or(test.baseline, "online"))
			err := h.manager().Check(bounded(t))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

// Findings has each check by itself, and looks for the host's address in the servers' prefix.
func TestFindings(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.on("dladm-show-link", "echo underlay_stub0:etherstub::1500; echo underlay0:vnic:underlay_stub0:9000")
	h.on("ipadm-show-addr", `echo 'underlay0/sled6:static:ok:fd00\:\:1/64'`)
	h.on("svcs-run", "echo online")
	m := h.manager()
	for near, want := range map[string][]string{
		"":            {"link MTU"},
		"fd00::2":     {"link MTU"},
		"fd00:0:1::2": {"link MTU", "host's address"},
	} {
		addr, _ := netip.ParseAddr(near)
		var wrong []string
		all := m.Findings(bounded(t), addr)
		for _, f := range all {
			if f.Err != nil {
				wrong = append(wrong, f.Name)
			}
			if f.Cure == "" {
				t.Errorf("%s has no cure", f.Name)
			}
		}
		if !slices.Equal(wrong, want) || len(all) != 4 {
			t.Errorf("with servers near %q: %d checks, %q are wrong, want %q: %v", near, len(all), wrong, want, all)
		}
	}
}

// No zone is created over a link that cannot have VNICs.
func TestCreateOverVNIC(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	cfg := h.config()
	cfg.Link = "underlay0"
	if _, err := h.managerOf(cfg).Create(bounded(t), testSpec()); err == nil || !strings.Contains(err.Error(), "link underlay0 is a vnic") {
		t.Errorf("got error %v", err)
	}
	h.wantNothing()
}

// A truncated configuration may lack links: it and they are kept.
func TestHalfExport(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"empty":   ":",
		"garbage": "echo garbage",
		"cut":     `head -c -8 "$dir/configs/$zone.xml"`,
		"warned":  `ordinary; echo "zonecfg: cannot read it all" >&2`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			h.create(m)
			h.step(m, zone.RungUninstall)
			h.on("zonecfg-export", script)
			other := h.manager() // knows links only from the configuration
			if err := other.Remove(bounded(t), zone.RungDelete, testZone); err == nil || !h.has("configs/"+testZone+".xml") {
				t.Errorf("the zone was deleted, error %v", err)
			}
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Errorf("a manager that created the links needs no configuration: %v", err)
			}
			h.wantNothing()
		})
	}
}
