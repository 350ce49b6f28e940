package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The forms of strings. What they accept is what the reference's types accept
// (Rust's uuid, std::net, oxnet, macaddr, chrono and Omicron's own), unless a
// comment says otherwise.
var (
	uuidText = format{`a UUID such as "4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"`, parses(parseUUID)}
	ipText   = format{`an IP address such as "10.0.0.5" or "fd00::5"`, parses(parseIP)}
	ip4Text  = format{`an IPv4 address such as "10.0.0.5"`, func(s string) bool { a, err := parseIP(s); return err == nil && a.Is4() }}
	ip6Text  = format{`an IPv6 address such as "fd00::5"`, func(s string) bool { a, err := parseIP(s); return err == nil && a.Is6() }}
	netText  = format{`an IP network such as "10.0.0.0/24" or "fd00::/64"`, parses(parseNet)}
	net4Text = format{`an IPv4 network such as "10.0.0.0/24"`, func(s string) bool { p, err := parseNet(s); return err == nil && p.Addr().Is4() }}
	net6Text = format{`an IPv6 network such as "fd00::/64"`, func(s string) bool { p, err := parseNet(s); return err == nil && p.Addr().Is6() }}
	sockText = format{`an address and a port such as "[fd00::1]:12400"`, parses(parseSocket)}
	macText  = format{`a MAC address such as "A8:40:25:F3:7C:01"`, parses(parseMAC)}
	timeText = format{`a time such as "2026-08-21T22:14:03.512874Z"`, parses(parseTime)}
	hostText = format{`a hostname such as "web01" (letters, digits, '-' and '.')`, validHostname}
	zoneText = format{`a domain name such as "project.example"`, validDomain}
	nameText = format{`a name such as "net0" (a lower-case letter first; letters, digits and '-')`, validName}
	portText = format{`a port or a range of ports such as "22" or "8000-8080"`, validRange(1, 16)}
	icmpText = format{`an ICMP code or a range of them such as "3" or "0-15"`, validRange(0, 8)}
)

// parses makes of a parser the question whether it succeeds.
func parses[T any](parse func(string) (T, error)) func(string) bool {
	return func(s string) bool {
		_, err := parse(s)
		return err == nil
	}
}

// parseUUID reads the four forms of a UUID: hyphenated, without hyphens, in
// braces, and as a URN. Package uuid does so too, but takes any two bytes for
// braces.
func parseUUID(s string) (uuid.UUID, error) {
	if len(s) == 38 && (s[0] != '{' || s[37] != '}') {
		return uuid.Nil, fmt.Errorf("parse UUID %q: want braces around it", cut(s))
	}
	return uuid.Parse(s)
}

// parseIP reads an address without a zone.
func parseIP(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() != "" {
		err = fmt.Errorf("parse address %q: a zone is not allowed", cut(s))
	}
	return a, err
}

// parseNet reads an address and its prefix length. Bits beyond the prefix may
// be set.
func parseNet(s string) (netip.Prefix, error) {
	addr, bits, _ := strings.Cut(s, "/")
	a, err := parseIP(addr)
	if err != nil {
		return netip.Prefix{}, err
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(bits, "+"), 10, 8)
	if err == nil && int(n) > a.BitLen() {
		err = fmt.Errorf("parse network %q: the prefix is longer than the address", cut(s))
	}
	return netip.PrefixFrom(a, int(n)), err
}

// parseSocket reads an address and a port. Of a zone only the numeric form is
// allowed, since Rust's socket addresses know no names.
func parseSocket(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Addr().Zone() == "" {
		return a, err
	}
	_, err = strconv.ParseUint(a.Addr().Zone(), 10, 32)
	return a, err
}

var macShape = regexp.MustCompile(`^(?:[[:xdigit:]]{2}(?::[[:xdigit:]]{2}){5}|[[:xdigit:]]{2}(?:-[[:xdigit:]]{2}){5}|` +
	`[[:xdigit:]]{4}(?:\.[[:xdigit:]]{4}){2}|[[:xdigit:]]{12})$`)

// parseMAC reads a MAC address and returns it as six pairs of upper-case hex
// digits with colons between them.
func parseMAC(s string) (string, error) {
	if !macShape.MatchString(s) {
		return "", fmt.Errorf("parse MAC address %q: want six pairs of hex digits", cut(s))
	}
	octets, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(fmt.Sprintf("% X", octets), " ", ":"), nil
}

// parseTime reads an RFC 3339 time; the letters may be lower case and the T a
// space. The result is UTC and within the years that RFC 3339 can write.
func parseTime(s string) (time.Time, error) {
	if len(s) > 10 && (s[10] == 't' || s[10] == ' ') {
		s = s[:10] + "T" + s[11:]
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, "z", "Z", 1))
	if err != nil {
		return t, err
	}
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return t, fmt.Errorf("parse time %q: no such year", cut(s))
	}
	return t, nil
}

const (
	maxDomain = 253 // RFC 1035 section 3.1, as text
	maxLabel  = 63
)

var (
	hostShape  = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
	labelShape = regexp.MustCompile(`^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?$`)
	nameShape  = regexp.MustCompile(`^[a-z](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
)

// validHostname takes RFC 1123 names. Omicron's Hostname knows no limit to a
// label, but OPTE, which the reference gives it to at registration, does.
func validHostname(s string) bool { return validLabels(s, hostShape) }

// validDomain takes hostnames, also with underscores as in RFC 2782, and with
// the root's dot at the end. OPTE would take any characters at all in a label;
// no resolver looks such a name up.
func validDomain(s string) bool { return validLabels(strings.TrimSuffix(s, "."), labelShape) }

func validLabels(s string, shape *regexp.Regexp) bool {
	if len(s) > maxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > maxLabel || !shape.MatchString(label) {
			return false
		}
	}
	return true
}

// validName takes the names of Nexus's resources, which a UUID must never be
// taken for.
func validName(s string) bool {
	if len(s) > 63 || !nameShape.MatchString(s) {
		return false
	}
	return len(s) != 36 || uuid.Validate(s) != nil
}

// validRange makes the question whether a string is one number or two with a
// hyphen between them, from min up and of so many bits.
func validRange(min uint64, bits int) func(string) bool {
	parse := func(s string) (uint64, bool) {
		v, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, bits)
		return v, err == nil && v >= min
	}
	return func(s string) bool {
		left, right, both := strings.Cut(s, "-")
		first, ok := parse(left)
		if !both || !ok {
			return ok
		}
		last, ok := parse(right)
		return ok && first <= last
	}
}
