package dropshot

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// options are the formats that openapi3 does not know or reads otherwise. They accept
// what the reference's types do (Rust's uuid, std::net, oxnet and chrono).
var options = []openapi3.SchemaValidationOption{
	openapi3.DisableSchemaErrorDetails(), // they contain the value
	uints("uint8", math.MaxUint8), uints("uint16", math.MaxUint16), uints("uint32", math.MaxUint32),
	strs("uuid", ParseUUID),
	strs("ip", parseIP),
	strs("ipv4", func(s string) (netip.Addr, error) { a, err := parseIP(s); return a, must(a.Is4(), err) }),
	strs("ipv6", func(s string) (netip.Addr, error) { a, err := parseIP(s); return a, must(a.Is6(), err) }),
	strs("ip-net", netip.ParsePrefix),
	strs("ipv4-net", func(s string) (netip.Prefix, error) {
		p, err := netip.ParsePrefix(s)
		return p, must(p.Addr().Is4(), err)
	}),
	strs("ipv6-net", func(s string) (netip.Prefix, error) {
		p, err := netip.ParsePrefix(s)
		return p, must(p.Addr().Is6(), err)
	}),
	strs("ip-port", parseAddrPort),
	strs("date-time", ParseTime),
}

func uints(name string, limit int64) openapi3.SchemaValidationOption {
	return openapi3.WithIntegerFormatValidator(name, openapi3.NewRangeFormatValidator(0, limit))
}

// strs makes a format of a function that parses it.
func strs[T any](name string, parse func(string) (T, error)) openapi3.SchemaValidationOption {
	return openapi3.WithStringFormatValidator(name, openapi3.NewCallbackValidator(func(s string) error {
		_, err := parse(s)
		return err
	}))
}

// must returns err, or an error unless the address is of the right family.
func must(family bool, err error) error {
	if err == nil && !family {
		return fmt.Errorf("an address of the other family")
	}
	return err
}

// ParseUUID parses the four forms of a UUID: hyphenated, without hyphens, in braces, and
// as a URN. Package uuid also accepts any two bytes in place of the braces.
func ParseUUID(s string) (uuid.UUID, error) {
	if len(s) == 38 && (s[0] != '{' || s[37] != '}') {
		return uuid.Nil, fmt.Errorf("parse UUID %q: want braces around it", cut(s))
	}
	return uuid.Parse(s)
}

// parseIP parses an address without a zone.
func parseIP(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() != "" {
		err = fmt.Errorf("parse address %q: a zone is not allowed", cut(s))
	}
	return a, err
}

// parseAddrPort parses an address and a port. A zone must be numeric, since Rust's
// socket addresses have no names.
func parseAddrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Addr().Zone() == "" {
		return a, err
	}
	_, err = strconv.ParseUint(a.Addr().Zone(), 10, 32)
	return a, err
}

// ParseTime parses an RFC 3339 time; letters may be lower case and the T a space. The
// result is UTC and in a year that RFC 3339 can represent.
func ParseTime(s string) (time.Time, error) {
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
