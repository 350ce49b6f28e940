package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// checkOf returns a check of values against a schema of the document.
func checkOf(t *testing.T, schema string) func(value string) error {
	t.Helper()
	var doc map[string]any
	mustDecode(document, &doc)
	doc["paths"] = map[string]any{"/x": map[string]any{"put": map[string]any{"operationId": "x", "requestBody": map[string]any{
		"content": map[string]any{"application/json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/" + schema}}}}}}}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	operation := dropshot.Load(text).Operation("x")
	return func(value string) error {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if _, bad := operation.Check(text); bad != nil {
			return bad
		}
		return nil
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	label, id := strings.Repeat("a", 63), "4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"
	long := strings.Repeat("abcdefg.", 31) + "abcde" // 253 characters
	for schema, tt := range map[string]struct{ good, no []string }{
		"Uuid": {[]string{id, strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", "")},
			[]string{"", id[1:], id + "0", "(" + id + ")", "{" + id + ")", strings.Replace(id, "4", "g", 1), strings.Replace(id, "-", "_", 1)}},
		"Ip":   {[]string{"0.0.0.0", "::", "fd00::1", "::ffff:10.0.0.1"}, []string{"", "10.0.0", "10.0.0.01", "fe80::1%2", "[::1]", "10.0.0.1/8"}},
		"Ipv4": {[]string{"10.0.0.1"}, []string{"::1", "::ffff:10.0.0.1", "256.0.0.1"}},
		"Ipv6": {[]string{"::1", "::ffff:10.0.0.1"}, []string{"10.0.0.1", "fe80::1%eth0"}},
		"IpNet": {[]string{"10.0.0.0/0", "10.1.2.3/32", "fd00::/128"},
			[]string{"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "/8", "fe80::%1/64"}},
		"Ipv4Net": {[]string{"10.0.0.0/8"}, []string{"fd00::/8"}},
		"Ipv6Net": {[]string{"fd00::/8"}, []string{"10.0.0.0/8"}},
		"SocketAddr": {[]string{"10.0.0.1:0", "[::1]:65535", "[fe80::1%7]:1"},
			[]string{"", "10.0.0.1", "::1:80", "[::1]", "[::1]:", "[::1]:65536", "[::1]:x", "[::1]:-1", "localhost:80", "[10.0.0.1]:80", "[fe80::1%eth0]:1"}},
		"MacAddr": {[]string{"A8:40:25:f3:7c:01", "a8-40-25-f3-7c-01", "a840.25f3.7c01", "a84025f37c01"},
			[]string{"", "A8:40:25:F3:7C", "A8:40:25:F3:7C:01:02", "A8:40-25:F3:7C:01", "A8:40:25:F3:7C:0g", "A8:40:25:F3:7C:1", "A8:40:25:F3:7C:01\n"}},
		"Time": {[]string{"2026-08-21T22:14:03Z", "2026-08-21T22:14:03.123456789Z", "2026-08-21t22:14:03z", "2026-08-21 22:14:03+05:30", "1987-01-01T00:00:00Z"},
			[]string{"", "2026-08-21", "2026-08-21T22:14:03", "2026-13-21T22:14:03Z", "2026-02-30T22:14:03Z", "1755814443", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"}},
		"Hostname": {[]string{"a", "0", "web01.prod", "A-b.c--d", label, long},
			[]string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "é", label + "a", long + "a", "a\n"}},
		"DomainName":     {[]string{"example", "a.example.", "_tcp.example", label + ".x"}, []string{"", ".", "a..", "-a", "a b", "é", label + "a", long + "aa"}},
		"Name":           {[]string{"a", "net0", "a-B", "a" + id, label}, []string{"", "0a", "A", "a-", "a_b", "a.b", label + "a"}},
		"L4PortRange":    {[]string{"1", "65535", "22-22", "8000-8080"}, []string{"", "-", "1-", "-1", "1-2-3", "a"}},
		"IcmpParamRange": {[]string{"0", "255", "0-15", "15-0"}, []string{"", "-3", "3-", "x"}},
	} {
		check := checkOf(t, schema)
		for _, s := range tt.good {
			if err := check(s); err != nil {
				t.Errorf("%s: %q is refused: %v", schema, s, err)
			}
		}
		for _, s := range tt.no {
			if check(s) == nil {
				t.Errorf("%s: %q is taken", schema, s)
			}
		}
	}
}

// Two spellings of one address have one result.
func TestMACIsCanonical(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"A8:40:25:F3:7C:01", "a8-40-25-f3-7c-01", "a840.25f3.7c01", "a84025f37c01"} {
		if got := canonicalMAC(s); got != "A8:40:25:F3:7C:01" {
			t.Errorf("canonicalMAC(%q) = %q", s, got)
		}
	}
}
