package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxZoneName is zoneadm(8)'s limit on zone names.
	maxZoneName = 63
	uuidLength  = 36
)

var zoneNameStart = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)

// zonePrefix applies zonecfg(8)'s rule for zone names to the part before a UUID.
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

// argv is the command line of a zone's server. The process backend looks up its first word,
// which is an absolute path or a bare name.
func argv(words []string) ([]string, error) {
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("names no program")
	}
	if strings.Contains(words[0], "/") && !strings.HasPrefix(words[0], "/") {
		return nil, fmt.Errorf("program %q is neither an absolute path nor a bare name", words[0])
	}
	for _, w := range words {
		if strings.ContainsRune(w, 0) {
			return nil, fmt.Errorf("argument %q is not text", w)
		}
	}
	return slices.Clone(words), nil
}

// maxImage is the maximum total length of the arguments of zoneadm install in bytes. zoneadm
// puts them into one command of less than 1024 bytes, together with the brand's hook, the
// zone's name and its path.
const maxImage = 640

// option is a one-letter option of a brand's install hook, which may precede a path.
var option = regexp.MustCompile(`^-[A-Za-z]$`)

// pathOrOption accepts a shellSafePath, or a brand's option such as -s.
func pathOrOption(word string) (string, error) {
	if option.MatchString(word) {
		return word, nil
	}
	return shellSafePath(word)
}

func image(words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, errors.New("names no image")
	}
	paths, err := each(pathOrOption)(words)
	if err != nil {
		return nil, err
	}
	if n := len(strings.Join(paths, " ")); n > maxImage {
		return nil, fmt.Errorf("%d bytes together, but zoneadm has room for %d", n, maxImage)
	}
	return paths, nil
}

var (
	brand = matching(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`, `is not the name of a zone brand`)
	// A datalink's name has at most 31 characters and ends in its instance
	// number: dladm(8).
	datalink = matching(`^[A-Za-z_][A-Za-z0-9_.-]{0,29}[0-9]$`,
		`is not the name of a datalink: want a letter, at most 31 characters, a digit at the end`)
	fmri = matching(`^svc:/[A-Za-z0-9_.,-]+(/[A-Za-z0-9_.,-]+)*:[A-Za-z0-9_.,-]+$`,
		`is not a service instance; write for example "svc:/system/illumos/propolis-server:default"`)
)
