package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// With DNS, records go to static addresses only if these are given, not to the default.
func TestAddressesBesideDNS(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"[nexus]\ndns = []":                 {"http://[::1]:12221"},
		"[nexus]\ndns = [\"[fd00::1]:53\"]": {},
		"[nexus]\ndns = [\"[fd00::1]:53\"]\naddresses = [\"http://[fd00::2]:1\"]": {"http://[fd00::2]:1"},
	} {
		if diff := cmp.Diff(want, parse(t, []byte(file)).Nexus.Addresses); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}
