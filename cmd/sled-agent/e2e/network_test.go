package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
)

// External addresses, multicast groups and attached subnets change over HTTP, and outlive
// an agent that is killed.
func TestNetworkSurvivesAKill(t *testing.T) {
	skipWithoutProc(t)
	h := newHarness(t, setup{})
	v := h.launch()
	change := func(method, path, body string, status int, code string) {
		t.Helper()
		var sent []byte
		if body != "" {
			sent = []byte(body)
		}
		if got := v.call(method, v.path()+path, sent).wants(t, status); got.code() != code || status == http.StatusNoContent && len(got.body) > 0 {
			t.Errorf("%s %s: %v", method, path, got)
		}
	}
	const subnet = `{"subnet":"192.0.2.32/28","kind":"external"}`
	change("PUT", "/external-ip", `{"type":"ephemeral","value":"203.0.113.71"}`, 204, "")
	change("PUT", "/external-ip", `{"type":"ephemeral","value":"203.0.113.71"}`, 204, "")
	change("PUT", "/external-ip", `{"type":"ephemeral","value":"203.0.113.72"}`, 409, "")
	change("PUT", "/external-ip", `{"type":"floating","value":"2001:db8:40::90"}`, 204, "")
	change("DELETE", "/external-ip", `{"type":"floating","value":"2001:db8:40::91"}`, 204, "")
	change("PUT", "/multicast-group", `{"join":{"group_ip":"232.5.6.7","sources":[]}}`, 204, "")
	change("PUT", "/attached-subnets", `{"subnets":[{"subnet":"2001:db8:aa::/56","kind":"vpc"}]}`, 204, "")
	change("POST", "/attached-subnets", subnet, 204, "")
	change("POST", "/attached-subnets", subnet, 409, "SUBNET_ALREADY_ATTACHED")
	const all = `{"ephemeral":["203.0.113.71"],"floating":["2001:db8:40::90"],"multicast_groups":[{"ip":"232.5.6.7"}],` +
		`"attached_subnets":[{"net":"2001:db8:aa::/56","kind":"vpc"},{"net":"192.0.2.32/28","kind":"external"}]}`
	is := func(want string) {
		t.Helper()
		network := v.status().Network
		if network == nil {
			t.Fatal("it has no network")
		}
		network.RecordOnly = false // depends on the kind of zone
		got, err := json.Marshal(network)
		if err != nil || string(got) != want {
			t.Errorf("the network is %s, %v, want %s", got, err, want)
		}
	}
	is(all)
	h.restart()
	is(all)
	change("DELETE", "/attached-subnets/192.0.2.32%2F28", "", 204, "")
	change("DELETE", "/attached-subnets/192.0.2.32%2F28", "", 204, "")
	change("DELETE", "/external-ip", `{"type":"ephemeral","value":"203.0.113.71"}`, 204, "")
	change("DELETE", "/multicast-group", `{"leave":{"group_ip":"232.5.6.7","sources":[]}}`, 204, "")
	h.restart()
	is(`{"floating":["2001:db8:40::90"],"attached_subnets":[{"net":"2001:db8:aa::/56","kind":"vpc"}]}`)
	change("DELETE", "/attached-subnets", "", 204, "")
	v.stopAndEnd()
	if got := v.call("PUT", v.path()+"/external-ip", []byte(`{"type":"floating","value":"203.0.113.80"}`)); got.status != 404 && got.status != 410 ||
		got.code() != "NO_SUCH_INSTANCE" {
		t.Errorf("after its end: %v", got)
	}
}
