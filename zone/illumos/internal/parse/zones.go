package parse

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/zone"
)

// A Zone is one line of zoneadm list -cip.
type Zone struct {
	// ID is the kernel's id of the zone's present boot; -1 when it is not active.
	ID    int
	Name  string
	State zone.State
	Path  string
	// UUID is empty until the zone was installed.
	UUID   string
	Brand  string
	IPType string
}

// GlobalZone is the name of the zone that is always there.
const GlobalZone = "global"

// Zones reads the output of zoneadm list -cip, and returns beside it each line
// that is none of a zone.
func Zones(out []byte) (zones []Zone, garbage []string) {
	lines := strings.SplitAfter(string(out), "\n")
	for _, line := range lines {
		text, ended := strings.CutSuffix(line, "\n")
		if text == "" {
			continue
		}
		z, err := readZone(text)
		// A last line without its end may lack more than that.
		if err != nil || !ended {
			garbage = append(garbage, text)
			continue
		}
		zones = append(zones, z)
	}
	return zones, garbage
}

// readZone reads one line. Later releases may add fields at its end
// (zoneadm(8)), and SmartOS does.
func readZone(line string) (Zone, error) {
	f := splitPath(line)
	if len(f) < 4 {
		return Zone{}, fmt.Errorf("%d fields, want 4 at least", len(f))
	}
	z := Zone{ID: -1, Name: f[1], State: readState(f[2]), Path: f[3]}
	if f[0] != "-" {
		id, err := strconv.ParseUint(f[0], 10, 31)
		if err != nil {
			return Zone{}, fmt.Errorf("zone id %q is no number", f[0])
		}
		z.ID = int(id)
	}
	if z.Name != GlobalZone {
		if err := zone.ValidName(z.Name); err != nil {
			return Zone{}, err
		}
	}
	for i, field := range []*string{&z.UUID, &z.Brand, &z.IPType} {
		if len(f) > 4+i {
			*field = f[4+i]
		}
	}
	return z, nil
}

// readState reads a state. A zone that is listed is there, whatever is said of it.
func readState(word string) zone.State {
	s := zone.ParseState(word)
	if s == zone.Absent {
		return zone.Unknown
	}
	return s
}

// splitPath splits a line at its colons. One within a zonepath is written \:,
// and a backslash stands for itself everywhere else (illumos zoneadm.c).
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
