package main

import (
	"testing"
	"time"
)

// A watchdog is well if its last beat is not much older than its period.
func TestPulse(t *testing.T) {
	t.Parallel()
	const every = 5 * time.Second
	for name, c := range map[string]struct {
		beaten bool
		later  time.Duration
		well   bool
	}{
		"never":             {false, 0, false},
		"now":               {true, 0, true},
		"as late as may be": {true, every + beatSlack, true},
		"too late":          {true, every + beatSlack + time.Millisecond, false},
	} {
		p, now := &pulse{every: every}, time.Now()
		if c.beaten {
			p.beat()
			now = *p.last.Load()
		}
		if err := p.check(now.Add(c.later)); (err == nil) != c.well {
			t.Errorf("%s: %v", name, err)
		}
	}
}
