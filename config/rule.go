package config

import (
	"errors"
	"fmt"
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

// The functions here check one value each and bring it into its normal form.

// optional makes the empty string a value, too.
func optional(parse func(string) (string, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return parse(s)
	}
}

func oneOf[T ~string](words ...T) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, T(s)) {
			return s, nil
		}
		names := make([]string, len(words))
		for i, w := range words {
			names[i] = string(w)
		}
		return "", fmt.Errorf("%q is not one of %s", s, strings.Join(names, ", "))
	}
}

func each(parse func(string) (string, error)) func([]string) ([]string, error) {
	return func(words []string) ([]string, error) {
		parsed := make([]string, len(words))
		for i, w := range words {
			var err error
			if parsed[i], err = parse(w); err != nil {
				return nil, err
			}
		}
		return parsed, nil
	}
}

// A duration lies within these bounds. Shorter ones are typing errors, and a
// pause that grows by half with each retry never grows from one nanosecond. The
// upper bound keeps sums of a time and a few durations from overflowing.
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

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9/._+=@%,-]+$`)

// shellSafePath is for paths that zoneadm(8) and zonecfg(8) put into command
// lines and scripts unquoted.
func shellSafePath(s string) (string, error) {
	path, err := absolutePath(s)
	if err == nil && !shellSafe.MatchString(path) {
		err = fmt.Errorf("%q holds a character that zoneadm would hand to a shell", s)
	}
	return path, err
}

func searchPath(s string) (string, error) {
	dirs := strings.Split(s, ":")
	for i, dir := range dirs {
		clean, err := absolutePath(dir)
		if err != nil {
			return "", fmt.Errorf("%q is not a list of absolute directories separated by ':'", s)
		}
		dirs[i] = clean
	}
	return strings.Join(dirs, ":"), nil
}

func sledID(s string) (uuid.UUID, error) {
	if s == "" {
		return uuid.Nil, nil
	}
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
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return a, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?$`)

// isHost tells whether s is an IP address without brackets or a host's name.
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

var fullVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}` +
	`(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func semver(s string) (string, error) {
	if !fullVersion.MatchString(s) {
		return "", fmt.Errorf("%q is not a full semantic version; write for example \"6.0.0\"", s)
	}
	return s, nil
}
