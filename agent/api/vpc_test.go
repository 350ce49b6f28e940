package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/api"
)

// lists verifies the elements of a list, in any order.
func (s *site) lists(path string, want ...string) {
	s.t.Helper()
	r := s.do("GET", path, "")
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(r.body), &all); r.StatusCode != 200 || err != nil || all == nil {
		s.t.Fatalf("GET %s: %d %s, %v", path, r.StatusCode, r.body, err)
	}
	var got []string
	for _, e := range all {
		got = append(got, string(e))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("GET %s (-want +got):\n%s", path, diff)
	}
}

// accepts sends a body that must be accepted.
func (s *site) accepts(method, path, body string) {
	s.t.Helper()
	if r := s.do(method, path, body); r.StatusCode != 204 || r.body != "" {
		s.t.Errorf("%s %s %s: %d %s", method, path, body, r.StatusCode, r.body)
	}
}

func TestMappings(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	of := func(vip, host string) string {
		return fmt.Sprintf(`{"virtual_ip":"%s","virtual_mac":"A8:40:25:FF:00:01","physical_host_ip":"%s","vni":7340033}`, vip, host)
	}
	bare := strings.NewReplacer("A8:40:25:FF:00:01", "a84025ff0001")
	v4, v6 := of("172.30.0.5", "fd00:1122:3344:101::1"), of("fd7d::5", "fd00:1122:3344:101::1")
	s.lists("/v2p")
	s.accepts("PUT", "/v2p", v4)
	s.accepts("PUT", "/v2p/", v6)
	s.accepts("PUT", "/v2p", bare.Replace(v4))
	s.lists("/v2p", v4, v6)
	moved := of("172.30.0.5", "fd00:1122:3344:102::1")
	s.accepts("PUT", "/v2p", moved)
	s.lists("/v2p", moved, v6)
	s.accepts("DELETE", "/v2p", v4) // by a Nexus that is late
	s.accepts("DELETE", "/v2p", v6)
	s.accepts("DELETE", "/v2p", v6)
	s.lists("/v2p", moved)
	for change, says := range map[[2]string]string{
		{"172.30.0.5", "x"}:                  "virtual_ip: want an IP address",
		{"fd00:1122:3344:101::1", "1.2.3.4"}: "physical_host_ip: want an IPv6 address",
		{"A8:40:25:FF:00:01", "A8:40"}:       "virtual_mac: want a MAC address",
		{"7340033", "16777216"}:              "vni: want an integer from 0 to 16777215, got 16777216",
		{"7340033", `"x"`}:                   "vni: want an integer",
		{`,"vni":7340033`, ""}:               "vni: want an integer from 0 to 16777215, got nothing",
		{`"172.30.0.5"`, "5"}:                "virtual_ip: want an IP address such as \"10.0.0.5\", got 5",
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			r := s.do(method, "/v2p", strings.Replace(v4, change[0], change[1], 1))
			if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, says) {
				t.Errorf("%s with %q: %d %s, want %s", method, change[1], r.StatusCode, r.body, says)
			}
		}
	}
	s.lists("/v2p", moved)
}

func TestVPCRoutes(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	const routes = "/vpc-routes"
	set := func(kind, version string) string {
		return `{"id":{"kind":` + kind + `,"vni":100},"routes":[{"dest":"0.0.0.0/0","target":{"type":"drop"}}],"version":` + version + `}`
	}
	state := func(kind, version string) string {
		return `{"id":{"kind":` + kind + `,"vni":100},"version":` + version + `}`
	}
	version := func(router, n string) string { return `{"router_id":"` + router + `","version":` + n + `}` }
	const system, custom, other = `{"type":"system"}`, `{"type":"custom","subnet":"172.30.0.0/22"}`, `{"type":"custom","subnet":"fd7d::/64"}`
	one, two := diskID.String(), propolisID.String()
	s.lists(routes)
	s.accepts("PUT", routes, "[]")
	s.accepts("PUT", routes, "["+set(system, version(one, "5"))+","+set(custom, "null")+","+set(other, version(two, "18446744073709551615"))+"]")
	s.lists(routes, state(system, version(one, "5")), state(custom, "null"), state(other, version(two, "18446744073709551615")))
	s.accepts("PUT", routes, "["+set(system, version(one, "4"))+"]") // older
	s.accepts("PUT", routes, "["+set(custom, version(one, "1"))+"]")
	s.accepts("PUT", routes, "["+set(other, version(one, "1"))+"]") // of another router
	s.lists(routes, state(system, version(one, "5")), state(custom, version(one, "1")), state(other, version(one, "1")))
	s.accepts("PUT", routes, "["+set(system, "null")+"]")
	s.lists(routes, state(system, "null"), state(custom, version(one, "1")), state(other, version(one, "1")))
	for body, says := range map[string]string{
		`{}`: "want a list, got an object",
		`[{"id":{"kind":{"type":"system"}},"routes":[]}]`:                                                 "[0].id.vni: want an integer from 0 to 16777215, got nothing",
		`[{"id":{"kind":{"type":"x"},"vni":1},"routes":[]}]`:                                              `[0].id.kind.type: want one of ["custom" "system"], got "x"`,
		`[{"id":{"kind":{"type":"custom"},"vni":1},"routes":[]}]`:                                         "[0].id.kind.subnet: want an IP network",
		"[" + set(`{"type":"system"}`, version(one, "9")) + `,{"id":{"kind":{"type":"system"},"vni":1}}]`: "[1].routes: want a list, got nothing",
		`[{"id":{"kind":{"type":"system"},"vni":1},"routes":[],"version":{"router_id":"x","version":1}}]`: "[0].version.router_id: want a UUID",
	} {
		r := s.do("PUT", routes, body)
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, says) {
			t.Errorf("PUT %s: %d %s, want %s", body, r.StatusCode, r.body, says)
		}
	}
	s.lists(routes, state(system, "null"), state(custom, version(one, "1")), state(other, version(one, "1")))
}

// What is only recorded is accepted in every form that Nexus can send, and refused if it
// cannot be meant.
func TestRecorded(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	rules := "/vpc/" + diskID.String() + "/firewall/rules"
	for path, bodies := range map[string][]string{
		rules: {`{"vni":100,"rules":[]}`, `{"rules":[{"filter_protocols":[{"type":"icmp6","value":{"code":"15-0","icmp_type":1}}]}],"vni":0}`,
			`{"rules":[{"filter_protocols":["ICMP"]}],"vni":1,"later":{}}`},
		"/eip-gateways": {`{"mappings":{}}`, `{"mappings":{"` + diskID.String() + `":{"10.0.0.1":["` + diskID.String() + `"]}}}`},
		"/probes":       {`{"probes":[]}`},
	} {
		for _, body := range bodies {
			s.accepts("PUT", path, body)
		}
	}
	for _, c := range [][3]string{
		{rules, `{"rules":[]}`, "vni: want an integer from 0 to 16777215, got nothing"},
		{rules, `{"vni":1,"rules":{}}`, "rules: want a list"},
		{rules, `{"vni":1}`, "rules: want a list"},
		{rules, `[]`, "want an object"},
		{"/vpc/x/firewall/rules", `{"vni":1,"rules":[]}`, "vpc_id: want a UUID"},
		{"/eip-gateways", `{"mappings":[]}`, "mappings: want an object"},
		{"/eip-gateways", `{}`, "mappings: want an object"},
		{"/probes", `{}`, "probes: want no probes, which this agent cannot run, got nothing"},
		{"/probes", `{"probes":[{}]}`, "probes: want no probes, which this agent cannot run, got a list of 1"},
	} {
		r := s.do("PUT", c[0], c[1])
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, c[2]) {
			t.Errorf("PUT %s %s: %d %s, want %s", c[0], c[1], r.StatusCode, r.body, c[2])
		}
	}
}
