package parse

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/zone"
)

// A Zone is one line of zoneadm list -cip.
type Zone struct {
	// ID is the kernel's id of the zone's current boot; -1 if it is not active.
	ID    int
	Name  string
	State zone.State
	Path  string
	// Rest holds the remaining fields, such as the brand. Two lines of one zone that
	// differ in it contradict each other.
	Rest string
}

// GlobalZone is the name of the zone that always exists.
const GlobalZone = "global"

// Zones parses the output of zoneadm list -cip. It also returns the lines that it
// cannot parse.
func Zones(out []byte) (zones []Zone, garbage []string) {
	lines := strings.SplitAfter(string(out), "\n")
	for _, line := range lines {
		text, ended := strings.CutSuffix(line, "\n")
		if text == "" {
			continue
		}
		z, err := readZone(text)
		// A last line without a newline may be truncated.
		if err != nil || !ended {
			garbage = append(garbage, text)
			continue
		}
		zones = append(zones, z)
	}
	return zones, garbage
}

// readZone parses one line. Later releases may add fields at its end (zoneadm(8)),
// and SmartOS does.
func readZone(line string) (Zone, error) {
	f := splitPath(line)
	if len(f) < 4 {
		return Zone{}, fmt.Errorf("%d fields, want at least 4", len(f))
	}
	z := Zone{ID: -1, Name: f[1], State: readState(f[2]), Path: f[3], Rest: strings.Join(f[4:], ":")}
	if f[0] != "-" {
		id, err := strconv.ParseUint(f[0], 10, 31)
		if err != nil {
			return Zone{}, fmt.Errorf("zone id %q is not a number", f[0])
		}
		z.ID = int(id)
	}
	if z.Name != GlobalZone {
		if err := zone.ValidName(z.Name); err != nil {
			return Zone{}, err
		}
	}
	return z, nil
}

// readState parses a state. A listed zone exists, so its state is never Absent.
func readState(word string) zone.State {
	s := zone.ParseState(word)
	if s == zone.Absent {
		return zone.Unknown
	}
	return s
}

// splitPath splits a line at its colons. A colon in a zonepath is written \:, and a
// backslash elsewhere is literal (illumos zoneadm.c).
func splitPath(line string) []string {
	var fields []string
	begin := 0
	for i := 0; i < len(line); i++ {
		if line[i] == ':' && (i == 0 || line[i-1] != '\\') {
			fields = append(fields, line[begin:i])
			begin = i + 1
		}
	}
	fields = append(fields, line[begin:])
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(f, `\:`, ":")
	}
	return fields
}
