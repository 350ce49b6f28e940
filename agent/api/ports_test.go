package api_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/contract"
)

const (
	ipURL      = "/external-ip"
	groupURL   = "/multicast-group"
	subnetsURL = "/attached-subnets"
)

func TestChangesOfTheNetwork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, path, body, call string
	}{
		{"PUT", ipURL, `{"type":"ephemeral","value":"203.0.113.71"}`, "AddExternalIP:{true 203.0.113.71}"},
		{"PUT", ipURL, `{"type":"floating","value":"2001:db8:40::90","later":1}`, "AddExternalIP:{false 2001:db8:40::90}"},
		{"DELETE", ipURL, `{"type":"floating","value":"2001:db8:40::90"}`, "RemoveExternalIP:{false 2001:db8:40::90}"},
		{"PUT", groupURL, `{"join":{"group_ip":"ff3e::8000:77","sources":["2001:db8::1"]}}`, "JoinGroup:{{ff3e::8000:77 [2001:db8::1]}}"},
		{"DELETE", groupURL, `{"join":{"group_ip":"232.5.6.7","sources":[]}}`, "JoinGroup:{{232.5.6.7 []}}"},
		{"PUT", groupURL, `{"leave":{"group_ip":"232.5.6.7","sources":[]}}`, "LeaveGroup:{232.5.6.7}"},
		{"PUT", subnetsURL, `{"subnets":[{"subnet":"192.0.2.16/28","kind":"external"},{"subnet":"2001:db8:aa::/56","kind":"vpc"}]}`,
			"SetSubnets:{[{192.0.2.16/28 external} {2001:db8:aa::/56 vpc}]}"},
		{"PUT", subnetsURL, `{"subnets":[]}`, "SetSubnets:{[]}"},
		{"POST", subnetsURL, `{"subnet":"192.0.2.33/28","kind":"external"}`, "AttachSubnet:{{192.0.2.32/28 external}}"},
		{"DELETE", subnetsURL, "", "SetSubnets:{[]}"},
		{"DELETE", subnetsURL + "/192.0.2.32%2F28", "", "DetachSubnet:{192.0.2.32/28}"},
		{"DELETE", subnetsURL + "/2001%3Adb8:aa::%2f56", "", "DetachSubnet:{2001:db8:aa::/56}"},
	} {
		f := &fakeAgent{}
		s := serve(t, f, api.Options{})
		r := s.do(tt.method, vmmURL+tt.path, tt.body)
		name, arg, _ := strings.Cut(tt.call, ":")
		if want := "vmm." + name + ":" + propolisID.String() + ":" + arg; r.StatusCode != 204 || r.body != "" || f.called() != want {
			t.Errorf("%s %s %s: %d %q, called %q, want %q", tt.method, tt.path, tt.body, r.StatusCode, r.body, f.called(), want)
		}
	}
}

// A bad request names the field and the reason, and changes nothing.
func TestBadChangesOfTheNetwork(t *testing.T) {
	t.Parallel()
	f := &fakeAgent{}
	s := serve(t, f, api.Options{})
	group := func(m string) string { return `{"join":` + m + `}` }
	const one, other = `{"subnet":"192.0.2.16/28","kind":"vpc"}`, `{"subnet":"192.0.2.16/28","kind":"external"}`
	for _, tt := range []struct{ method, path, body, says string }{
		{"PUT", ipURL, "", "want JSON"},
		{"PUT", ipURL, "null", "want an object, got null"},
		{"PUT", ipURL, "[]", "want an object, got a list of 0"},
		{"PUT", ipURL, `{"type":"snat","value":"203.0.113.71"}`, `type: want one of ["ephemeral" "floating"], got "snat"`},
		{"PUT", ipURL, `{"type":"floating"}`, `value: want an IP address such as "10.0.0.5", got nothing`},
		{"PUT", ipURL, `{"type":"floating","value":7}`, `value: want an IP address such as "10.0.0.5", got 7`},
		{"PUT", ipURL, `{"type":"floating","value":"203.0.113.71/32"}`, `value: want an IP address such as "10.0.0.5", got "203.0.113.71/32"`},
		{"PUT", ipURL, `{"type":"floating","value":"fe80::1%lo0"}`, `value: want an IP address such as "10.0.0.5", got "fe80::1%lo0"`},
		{"DELETE", ipURL, `{"type":"floating","value":"::"}`, `value: want the address of a host, got "::"`},
		{"PUT", groupURL, `{}`, `want an object with either "join" or "leave"`},
		{"PUT", groupURL, `{"join":{},"leave":{}}`, `want an object with either "join" or "leave"`},
		{"PUT", groupURL, group(`{"sources":[]}`), `join.group_ip: want a multicast address such as "233.252.0.1", got nothing`},
		{"PUT", groupURL, group(`{"group_ip":"203.0.113.71","sources":[]}`), `join.group_ip: want a multicast address, got "203.0.113.71"`},
		{"PUT", groupURL, group(`{"group_ip":"232.5.6.7"}`), "join.sources: want a list, got nothing"},
		{"PUT", groupURL, group(`{"group_ip":"232.5.6.7","sources":["x"]}`), `join.sources[0]: want an IP address such as "10.0.0.5", got "x"`},
		{"PUT", groupURL, group(`{"group_ip":"232.5.6.7","sources":["232.5.6.7"]}`), `join.sources[0]: want an address that is not multicast`},
		{"PUT", subnetsURL, `{}`, "subnets: want a list without duplicates, got nothing"},
		{"PUT", subnetsURL, `{"subnets":[` + one + "," + one + `]}`, "subnets: want a list without duplicates"},
		{"PUT", subnetsURL, `{"subnets":[` + one + "," + other + `]}`, "subnets[1].subnet: want a network that is not in the list already"},
		{"POST", subnetsURL, `{"subnet":"192.0.2.16/28","kind":"public"}`, `kind: want one of ["vpc" "external"], got "public"`},
		{"POST", subnetsURL, `{"kind":"vpc"}`, `subnet: want an IP network such as "10.0.0.0/24", got nothing`},
		{"POST", subnetsURL, `{"subnet":"192.0.2.16","kind":"vpc"}`, `subnet: want an IP network such as "10.0.0.0/24", got "192.0.2.16"`},
		{"DELETE", subnetsURL + "/192.0.2.16%2F33", "", `subnet: want an IP network such as "192.0.2.0/28", got "192.0.2.16/33"`},
	} {
		r := s.do(tt.method, vmmURL+tt.path, tt.body)
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, tt.says) {
			t.Errorf("%s %s %s: %d %q %q, want %q", tt.method, tt.path, tt.body, r.StatusCode, code, message, tt.says)
		}
	}
	if f.called() != "" {
		t.Errorf("called %s", f.called())
	}
}

// Every answer to a change is one of the API's document.
func TestAnswersToChangesFitTheContract(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(contract.Path(t, "sled-agent-vmm.json"))
	if err != nil {
		t.Fatal(err)
	}
	one := map[string]string{ipURL: `{"type":"ephemeral","value":"203.0.113.71"}`, groupURL: `{"leave":{"group_ip":"232.5.6.7","sources":[]}}`,
		subnetsURL: `{"subnet":"192.0.2.32/28","kind":"external","subnets":[]}`, subnetsURL + "/{subnet}": ""}
	for path, body := range one {
		for method, op := range doc.Paths.Find("/vmms/{propolis_id}" + path).Operations() {
			for _, refusal := range []error{nil, &vmm.Refusal{Reason: vmm.Unknown}, &vmm.Refusal{Reason: vmm.Attached},
				&vmm.Refusal{Reason: vmm.Invalid, Detail: "x"}, &vmm.Refusal{Reason: vmm.Unwritable}} {
				s := serve(t, &fakeAgent{err: refusal}, api.Options{})
				r := s.do(method, vmmURL+strings.Replace(path, "{subnet}", "192.0.2.0%2F28", 1), body)
				if (r.StatusCode == 204) != (refusal == nil) || refusal == nil && op.Responses.Status(204) == nil {
					t.Errorf("%s %s with %v: %d", method, path, refusal, r.StatusCode)
				}
				if refusal != nil {
					r.failed(t)
				}
			}
		}
	}
}
