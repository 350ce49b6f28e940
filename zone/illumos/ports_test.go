package illumos

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

var thePort = zone.Port{Zone: testZone, Link: "opte1", Floating: []netip.Addr{netip.MustParseAddr("2001:db8:40::90")}}

// A guest whose datalink is a VNIC has a networking that is only recorded. What opteadm
// prints without a table proves nothing.
func TestPortsThatAreListed(t *testing.T) {
	t.Parallel()
	const set = "opteadm set-external-ips -p opte1 --floating-ip 2001:db8:40::90"
	for _, tt := range []struct {
		name, prints, link, fails string
		sets                      bool
	}{
		{"a port", "LINK   MAC ADDRESS\nopte0  a8:40\n           203.0.113.80\nopte1  a8:41\n", "opte1", "", true},
		{"no port", "LINK   MAC ADDRESS\nopte10 a8:40\n           opte1\n", "opte1", "", false},
		{"no ports", "LINK  MAC ADDRESS\n", "oxGuest0", "", false},
		{"no link", "LINK  MAC ADDRESS\nopte1 a8:40\n\n", "", "", false},
		{"nothing", "", "opte1", "not a table of ports", false},
		{"another table", "NAME  MAC\nopte1 a8:40\n", "opte1", "not a table of ports", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			h.on("opteadm-list-ports", "cat <<'EOF'\n"+tt.prints+"EOF\n")
			h.on("opteadm-set-external-ips", ":")
			p := thePort
			p.Link = tt.link
			err := h.manager().OPTE().Apply(t.Context(), p)
			if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) || strings.Contains(h.log(), set) != tt.sets {
				t.Errorf("%v, commands: %s", err, h.log())
			}
		})
	}
}

func TestWithoutOpteadm(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.remove("opteadm")
	var log bytes.Buffer
	cfg := h.config()
	cfg.Log = zerolog.New(&log)
	if ports := h.managerOf(cfg).OPTE(); ports != nil || strings.Count(log.String(), "no opteadm") != 1 {
		t.Errorf("%v, logged %q", ports, log.String())
	}
}

// A port's calls that are stuck hold up none for the zone.
func TestStuckOpteadmDelaysNoRemoval(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	c := (&opte{m: m}).call(thePort, []string{"opteadm", "list-ports"})
	if c.For == testZone || c.Budget == 0 {
		t.Errorf("%+v", c)
	}
}
