package cli

import (
	"strings"
	"testing"
	"time"
)

// inBerlin has a local time zone with a date of its own.
func inBerlin(e *Env) { e.Zone = time.FixedZone("CEST", 2*60*60) }

func TestLocalTimes(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	if local, utc := s.must("vmm show 52c0 --utc", inBerlin).out, s.must("vmm show 52c0").out; local != utc {
		t.Errorf("--utc is not the default: %s", local)
	}
	if local, utc := s.must("vmm show 52c0 --local -o json", inBerlin).out, s.must("vmm show 52c0 -o json").out; local != utc {
		t.Errorf("JSON depends on the time zone: %s", local)
	}
}

func TestColor(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	for _, c := range []struct {
		flag    string
		options []option
		want    bool
	}{
		{"", []option{onTerminal}, true},
		{"--color=auto", nil, false},
		{"--color=never", []option{onTerminal}, false},
		{"--color=always", nil, true},
		{"--color=always", []option{columns80}, true}, // which sets NO_COLOR
		{"--color=auto", []option{columns80}, false},
	} {
		if got := strings.Contains(s.must("vmm list "+c.flag, c.options...).out, "\x1b["); got != c.want {
			t.Errorf("%q: colors %t, want %t", c.flag, got, c.want)
		}
	}
}
