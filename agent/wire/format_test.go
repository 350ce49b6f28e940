package wire

import (
	"strings"
	"testing"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	label, id := strings.Repeat("a", 63), "4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"
	long := strings.Repeat("abcdefg.", 31) + "abcde" // 253 characters
	for name, tt := range map[string]struct {
		format   format
		good, no []string
	}{
		"UUID": {uuidText, []string{id, strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", "")},
			[]string{"", id[1:], id + "0", "(" + id + ")", "{" + id + ")", strings.Replace(id, "4", "g", 1), strings.Replace(id, "-", "_", 1)}},
		"IP":   {ipText, []string{"0.0.0.0", "::", "fd00::1", "::ffff:10.0.0.1"}, []string{"", "10.0.0", "10.0.0.01", "fe80::1%2", "[::1]", "10.0.0.1/8"}},
		"IPv4": {ip4Text, []string{"10.0.0.1"}, []string{"::1", "::ffff:10.0.0.1", "256.0.0.1"}},
		"IPv6": {ip6Text, []string{"::1", "::ffff:10.0.0.1"}, []string{"10.0.0.1", "fe80::1%eth0"}},
		"network": {netText, []string{"10.0.0.0/0", "10.1.2.3/32", "fd00::/128", "10.0.0.0/08"},
			[]string{"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "/8"}},
		"IPv4 network": {net4Text, []string{"10.0.0.0/8"}, []string{"fd00::/8"}},
		"IPv6 network": {net6Text, []string{"fd00::/8"}, []string{"10.0.0.0/8"}},
		"socket": {sockText, []string{"10.0.0.1:0", "[::1]:65535", "[fe80::1%7]:1"},
			[]string{"", "10.0.0.1", "::1:80", "[::1]", "[::1]:", "[::1]:65536", "[::1]:x", "[::1]:-1", "localhost:80", "[10.0.0.1]:80", "[fe80::1%eth0]:1"}},
		"MAC": {macText, []string{"A8:40:25:f3:7c:01", "a8-40-25-f3-7c-01", "a840.25f3.7c01", "a84025f37c01"},
			[]string{"", "A8:40:25:F3:7C", "A8:40:25:F3:7C:01:02", "A8:40-25:F3:7C:01", "A8:40:25:F3:7C:0g", "A8:40:25:F3:7C:1", "A8:40:25:F3:7C:01\n"}},
		"time": {timeText, []string{"2026-08-21T22:14:03Z", "2026-08-21T22:14:03.123456789Z", "2026-08-21t22:14:03z", "2026-08-21 22:14:03+05:30", "1987-01-01T00:00:00Z"},
			[]string{"", "2026-08-21", "2026-08-21T22:14:03", "2026-13-21T22:14:03Z", "2026-02-30T22:14:03Z", "1755814443", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"}},
		"hostname": {hostText, []string{"a", "0", "web01.prod", "A-b.c--d", label, long},
			[]string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "é", label + "a", long + "a", "a\n"}},
		"domain": {zoneText, []string{"example", "a.example.", "_tcp.example", label + ".x"}, []string{"", ".", "a..", "-a", "a b", "é", label + "a", long + "a"}},
		"name":   {nameText, []string{"a", "net0", "a-B", "a" + id, label}, []string{"", "0a", "A", "a-", "a_b", "a.b", id[:0] + "a" + id[1:], label + "a"}},
		"ports":  {portText, []string{"1", "65535", "22-22", "8000-8080"}, []string{"", "0", "65536", "80-22", "-", "1-", "-1", "1-2-3", "a", "0-5"}},
		"ICMP":   {icmpText, []string{"0", "255", "0-15"}, []string{"", "256", "3-2", "-3", "3-", "x"}},
	} {
		for _, s := range tt.good {
			if !tt.format.ok(s) {
				t.Errorf("%s: %q is refused", name, s)
			}
		}
		for _, s := range tt.no {
			if tt.format.ok(s) {
				t.Errorf("%s: %q is taken", name, s)
			}
		}
	}
}

// Two spellings of one address must not make two.
func TestParseMACIsCanonical(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"A8:40:25:F3:7C:01", "a8-40-25-f3-7c-01", "a840.25f3.7c01", "a84025f37c01"} {
		if got, err := parseMAC(s); err != nil || got != "A8:40:25:F3:7C:01" {
			t.Errorf("parseMAC(%q) = %q, %v", s, got, err)
		}
	}
}
