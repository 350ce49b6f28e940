package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// The functions here check one value each and return it in normal form.

// optional makes a parser that also accepts the empty string.
func optional[T any](parse func(string) (T, error)) func(string) (v T, err error) {
	return func(s string) (v T, err error) {
		if s != "" {
			v, err = parse(s)
		}
		return v, err
	}
}

// orEmpty returns the text of a value, empty for the zero value.
func orEmpty[T interface {
	comparable
	fmt.Stringer
}](v T) any {
	if v == *new(T) {
		return ""
	}
	return v.String()
}

func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
		}
		return s, nil
	}
}

// matching accepts what expr matches. Its error says otherwise.
func matching(expr, otherwise string) func(string) (string, error) {
	compiled := regexp.MustCompile(expr)
	return func(s string) (string, error) {
		if !compiled.MatchString(s) {
			return "", fmt.Errorf("%q %s", s, otherwise)
		}
		return s, nil
	}
}

func each[T any](parse func(string) (T, error)) func([]string) ([]T, error) {
	return func(words []string) (_ []T, err error) {
		parsed := make([]T, len(words))
		for i, w := range words {
			if parsed[i], err = parse(w); err != nil {
				return nil, err
			}
		}
		return parsed, nil
	}
}

// The bounds of durations. Shorter ones are typing errors, and a pause that grows by half
// with each retry never grows from one nanosecond. The upper bound keeps sums of a time and
// a few durations from overflowing.
const (
	minDuration = time.Millisecond
	maxDuration = 8760 * time.Hour
)

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; write for example \"10m\"", s)
	case d <= 0:
		return 0, fmt.Errorf("%q is not longer than zero", s)
	case d < minDuration:
		return 0, fmt.Errorf("%q is shorter than %s", s, formatDuration(minDuration))
	case d > maxDuration:
		return 0, fmt.Errorf("%q is longer than a year, %s", s, formatDuration(maxDuration))
	}
	return d, nil
}

var zeroes = regexp.MustCompile(`(h)0m0s$|(m)0s$`)

// formatDuration drops the zeros of "1h0m0s".
func formatDuration(d time.Duration) string { return zeroes.ReplaceAllString(d.String(), "$1$2") }

func absolutePath(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("must not be empty")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%q holds a control character", s)
	case !filepath.IsAbs(s):
		return "", fmt.Errorf("%q is not an absolute path; it would depend on where the agent is started", s)
	}
	return filepath.Clean(s), nil
}

var shellSafe = matching(`^[A-Za-z0-9/._+=@%,-]+$`, "holds a character that zoneadm would hand to a shell")

// shellSafePath is for paths that zoneadm(8) and zonecfg(8) put into command
// lines and scripts unquoted.
func shellSafePath(s string) (string, error) {
	path, err := absolutePath(s)
	if err != nil {
		return "", err
	}
	return shellSafe(path)
}

func searchPath(s string) (string, error) {
	dirs, err := each(absolutePath)(strings.Split(s, ":"))
	if err != nil {
		return "", fmt.Errorf("%q is not a list of absolute directories separated by ':'", s)
	}
	return strings.Join(dirs, ":"), nil
}

func sledID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	// uuid.Parse also takes forms that are not 36 characters long, such as URNs.
	if err != nil || len(s) != 36 {
		return uuid.Nil, fmt.Errorf("%q is not a UUID", s)
	}
	if id == uuid.Nil {
		return uuid.Nil, errors.New("the nil UUID identifies no sled; leave the key out to have an id made")
	}
	return id, nil
}

func addrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, fmt.Errorf("%q is not an IP address and port; write for example \"[::1]:12345\"", s)
	}
	return a, nil
}

func gateway(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return a, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?$`)

// isHost reports whether s is an IP address without brackets or a host name.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || hostName.MatchString(s)
}

func hostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port; write for example \"[::1]:9100\"", s)
	}
	if !isHost(host) {
		return "", fmt.Errorf("%q has no valid host; for all addresses of this host write \"[::]:%s\"", s, port)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("%q has no valid port", s)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("%q is not an http or https URL; write for example \"http://[::1]:12221\"", s)
	case u.User != nil:
		return "", errors.New("a URL must not hold a user name or password")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, strings.Contains(s, "#"):
		return "", fmt.Errorf("%q has more than a host and a port", s)
	case !isHost(u.Hostname()):
		return "", fmt.Errorf("%q has no valid host", s)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("%q has no valid port", s)
		}
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), nil
}

var semver = matching(`^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}`+
	`(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`,
	`is not a full semantic version; write for example "6.0.0"`)

// units are the units of sizes, the largest first.
var units = []struct {
	name  string
	bytes uint64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}}

// byteSize reads a size such as "64GiB".
func byteSize(s string) (uint64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && n > 0 && n <= math.MaxInt64/u.bytes {
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size; write for example \"64GiB\" (MiB, GiB or TiB)", s)
}

func formatByteSize(n uint64) any {
	for _, u := range units {
		if n > 0 && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return ""
}
