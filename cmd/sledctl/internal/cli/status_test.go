package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
)

// TestStatusCheck compares the exit codes with and without --check.
func TestStatusCheck(t *testing.T) {
	t.Parallel()
	broken := theAgent()
	broken.Troubles = []string{"listen on 127.0.0.1:1: address in use"}
	lost := theAgent()
	lost.Nexus, lost.NexusDNS = nil, []string{"[fd00::1]:53"}
	alone := theAgent()
	alone.Nexus = nil
	for _, c := range []struct {
		name  string
		sled  *sled
		about func(*sled)
		says  string
		well  bool
	}{
		{"well", newSled(t, well()), nil, "well", true},
		{"a VMM in trouble", newSled(t, well(), stuck()), nil, "1 VMM in trouble", false},
		{"an agent in trouble", newSled(t), func(s *sled) { s.agent.SetAbout(broken) }, "TROUBLE     listen on 127.0.0.1:1", false},
		{"no Nexus", newSled(t), func(s *sled) { s.agent.SetAbout(lost) }, "TROUBLE     Nexus: no replica is known", false},
		{"standalone", newSled(t), func(s *sled) { s.agent.SetAbout(alone) }, "standalone", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.about != nil {
				c.about(c.sled)
			}
			if r := c.sled.must("status"); !strings.Contains(r.out, c.says) {
				t.Errorf("no %q in %s", c.says, r.out)
			}
			want := exitTrouble
			if c.well {
				want = exitDone
			}
			r := c.sled.run("status --check -o json")
			var got summary.Summary
			if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Well != c.well || r.code != want {
				t.Errorf("exit %d, %+v, %v", r.code, got, errors.Join(err))
			}
		})
	}
}

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
