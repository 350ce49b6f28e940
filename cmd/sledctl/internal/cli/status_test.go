package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// However many VMMs are in trouble, with however long causes, the screen is enough.
func TestStatusFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var all []vmm.Status
	for n := range 40 {
		v := stuck()
		v.ID, v.Hostname = uuid.NewSHA1(stuckID, []byte{byte(n)}), fmt.Sprintf("db-%d", n)
		v.Removal.LastError = strings.Repeat("cause ", n*n)
		all = append(all, v)
		s := newSled(t, all...)
		for _, height := range []int{20, 24, 40} {
			r := s.must("status", columns80, func(e *Env) { e.Height = height })
			if lines := strings.Count(r.out, "\n"); lines >= height {
				t.Errorf("%d VMMs: %d lines on a terminal of %d:\n%s", n+1, lines, height, r.out)
			}
			for line := range strings.Lines(r.out) {
				if len([]rune(line)) > 81 {
					t.Errorf("too wide: %s", line)
				}
			}
		}
	}
}

func TestStatusOfADrain(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	s.must("drain --grace 2m")
	// The simulated agent has a clock of its own.
	r := s.must("status", func(e *Env) { e.Now = time.Now })
	for _, want := range []string{"drained by the operator", "; 1 VMM is left, by force at "} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it does not say %q:\n%s", want, r.out)
		}
	}
}
