package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxZoneName is the longest zone name that zoneadm(8) takes.
	maxZoneName = 63
	uuidLength  = 36
)

var zoneNameStart = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)

// zonePrefix is the rule of zonecfg(8) for zone names, applied to what comes
// before a UUID.
func zonePrefix(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("must not be empty: it tells the agent's zones from others")
	case len(s) > maxZoneName-uuidLength:
		return "", fmt.Errorf("%q has %d characters, at most %d leave room for a Propolis id in a zone's name",
			s, len(s), maxZoneName-uuidLength)
	case !zoneNameStart.MatchString(s):
		return "", fmt.Errorf("%q does not begin a zone name: want a letter or digit, then letters, digits, '-', '_' and '.'", s)
	case strings.HasPrefix(s, "SUNW"):
		return "", fmt.Errorf("%q begins with SUNW, which is reserved", s)
	}
	return s, nil
}

// argv is the command line of a zone's server; its first word is looked up by
// the process backend, which takes absolute paths and bare names.
func argv(words []string) ([]string, error) {
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("names no program")
	}
	if strings.Contains(words[0], "/") && !strings.HasPrefix(words[0], "/") {
		return nil, fmt.Errorf("program %q is neither an absolute path nor a bare name", words[0])
	}
	for _, w := range words {
		if strings.ContainsRune(w, 0) || !utf8.ValidString(w) {
			return nil, fmt.Errorf("argument %q is not text", w)
		}
	}
	return slices.Clone(words), nil
}

// maxImage bounds the arguments of zoneadm install together, in bytes. zoneadm
// puts them into one command of less than 1024 bytes, which also holds the
// brand's hook, the zone's name and its path.
const maxImage = 640

func image(words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, errors.New("names no image")
	}
	paths, err := each(shellSafePath)(words)
	if err != nil {
		return nil, err
	}
	if n := len(strings.Join(paths, " ")); n > maxImage {
		return nil, fmt.Errorf("%d bytes together, but zoneadm has room for %d", n, maxImage)
	}
	return paths, nil
}

var (
	brandName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	// A datalink's name has at most 31 characters and ends in its instance
	// number: dladm(8).
	linkName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,29}[0-9]$`)
	serviceFMRI = regexp.MustCompile(`^svc:/[A-Za-z0-9_.,-]+(/[A-Za-z0-9_.,-]+)*:[A-Za-z0-9_.,-]+$`)
)

func brand(s string) (string, error) {
	if !brandName.MatchString(s) {
		return "", fmt.Errorf("%q is not the name of a zone brand", s)
	}
	return s, nil
}

func datalink(s string) (string, error) {
	if !linkName.MatchString(s) {
		return "", fmt.Errorf("%q is not the name of a datalink: want a letter, at most 31 characters, a digit at the end", s)
	}
	return s, nil
}

func fmri(s string) (string, error) {
	if !serviceFMRI.MatchString(s) {
		return "", fmt.Errorf("%q is not a service instance; write for example \"svc:/system/illumos/propolis-server:default\"", s)
	}
	return s, nil
}
