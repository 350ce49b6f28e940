package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sledagent/sledagent/agent/publish/srv/srvtest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// While Nexus cannot be found a VMM lives and ends; its end is kept until DNS names Nexus, and
// what DNS answers afterwards does not matter (T, N).
func TestNexusByName(t *testing.T) {
	h := newHarness(t, setup{manual: true})
	server := srvtest.New(t, srvtest.Refuse(dns.RcodeServerFailure))
	keys := h.table("nexus")
	delete(keys, "addresses")
	keys["dns"] = []string{server.Addr.String()}
	h.start()
	v := h.register()
	v.run()
	v.is(vmm.WireRunning)
	v.setFaults("hang-stop")
	v.removedAtDeadline(v.stop(grace))
	v.event("terminal")
	v.is(vmm.WireDestroyed)
	if about := h.about(); len(about.Nexus) != 0 || !slices.ContainsFunc(about.Troubles, func(s string) bool {
		return strings.Contains(s, "SERVFAIL")
	}) {
		t.Errorf("before Nexus is found: %+v", about)
	}
	at := netip.MustParseAddrPort(strings.TrimPrefix(h.nexus.url, "http://"))
	server.Handle(srvtest.Replicas(0, at))
	v.endsDestroyed()
	server.Handle(srvtest.Refuse(dns.RcodeNameError))
	waitFor(t, func() string {
		if len(h.about().Troubles) == 0 {
			return "no trouble is shown for NXDOMAIN"
		}
		return ""
	})
	if about := h.about(); !slices.Equal(about.Nexus, []string{h.nexus.url}) {
		t.Errorf("afterwards: %+v", about)
	}
	w := h.launch()
	w.stop(grace)
	w.endsDestroyed()
}
