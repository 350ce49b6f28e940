package cli

import (
	"strings"
	"testing"

	"github.com/sledagent/sledagent/internal/golden"
)

// TestGolden compares the output for people. Each file is one screen.
func TestGolden(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	for _, c := range []struct {
		file, line string
		options    []option
	}{
		{"status.txt", "status", nil},
		{"status-80x24.txt", "status", []option{columns80x24}},
		{"status.json", "status -o json", nil},
		{"list.txt", "vmm list", nil},
		{"list-full.txt", "vmm list --full", nil},
		{"list-unhealthy.txt", "vmm list --unhealthy", nil},
		{"list-terminal.txt", "vmm list", []option{onTerminal}},
		{"list-80.txt", "vmm list", []option{columns80}},
		{"show-80.txt", "vmm show 81bc", []option{columns80}},
		{"show-well.txt", "vmm show 3f2a9c01-7", nil},
		{"show-migrating.txt", "vmm show 3f2a9c01-d", nil},
		{"show-stopping.txt", "vmm show 52c0", nil},
		{"show-stuck.txt", "vmm show 81bc", nil},
		{"show-stuck-terminal.txt", "vmm show 81bc", []option{onTerminal}},
		{"show-silent.txt", "vmm show 9e", nil},
		{"show-ended.txt", "vmm show b7", nil},
		{"show-late.txt", "vmm show c4", nil},
		{"show-failed.txt", "vmm show e8", nil},
		{"show-stuck.json", "vmm show 81bc -o json", nil},
		{"list.json", "vmm list -o json --unhealthy", nil},
		{"events.txt", "events", nil},
		{"events-one.json", "events 52c0 -o json", nil},
		{"timeline-60.txt", "vmm timeline 81bc", []option{columns(60)}},
		{"timeline-80.txt", "vmm timeline 81bc", []option{columns(80)}},
		{"timeline-120.txt", "vmm timeline 81bc", []option{columns(120)}},
		{"timeline-pending-80.txt", "vmm timeline 52c0", []option{columns(80)}},
		{"timeline-life-80.txt", "vmm timeline 81bc --part life", []option{columns(80)}},
		{"timeline-well-80.txt", "vmm timeline web-1", []option{columns(80)}},
		{"timeline-terminal.txt", "vmm timeline 81bc", []option{onTerminal}},
		{"timeline-removal-80.txt", "vmm timeline 81bc --part removal", []option{columns(80)}},
		{"timeline-ascii.txt", "vmm timeline 81bc", []option{columns(80), serialConsole}},
		{"timeline.svg", "vmm timeline 81bc -o svg", nil},
		{"timeline-pending.svg", "vmm timeline 52c0 -o svg", nil},
		{"help-vmm.txt", "vmm --help", nil},
		{"help-stop.txt", "vmm stop --help", nil},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			out := s.must(c.line, c.options...).out
			golden.Check(t, c.file, strings.Replace(out, s.api.URL, "http://[::1]:12345", 1))
		})
	}
}
