package trial

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// probeEvery is how often the machine is tried.
	probeEvery = 20 * time.Millisecond
	// usual is by how much a probe may be late and nothing is said of it.
	usual = 10 * time.Millisecond
)

// machine is the one that the tests run on.
var machine stalls

// stalls remembers when the machine did nothing for anybody: no processor was
// free for a goroutine that had to run, or the disk did not take a few bytes.
type stalls struct {
	mu   sync.Mutex
	seen []stall
	// last is when the last probe ended.
	last time.Time
}

// A stall is the time between the ends of two probes.
type stall struct{ from, to time.Time }

// within is how much of it lies between two moments; negative if nothing does.
func (s stall) within(from, to time.Time) time.Duration {
	if s.from.After(from) {
		from = s.from
	}
	if s.to.Before(to) {
		to = s.to
	}
	return to.Sub(from)
}

// excess is how much longer it took than it should have, 0 if that is usual.
func (s stall) excess() time.Duration {
	if by := s.to.Sub(s.from) - probeEvery; by > usual {
		return by
	}
	return 0
}

// Own is how much of the time between two moments is the agent's own: without
// what the machine itself stood still, as an onlooker has measured it who runs a
// little and writes a little all the time, whoever it was that kept it from that. A
// test that holds the agent to a time goes by it, and so measures the agent
// wherever it runs.
func Own(from, to time.Time) time.Duration {
	return max(0, to.Sub(from)-machine.between(from, to, time.Now()))
}

func (s *stalls) between(from, to, now time.Time) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	if !s.last.IsZero() {
		seen = append(seen[:len(seen):len(seen)], stall{s.last, now})
	}
	for _, one := range seen {
		sum += max(0, min(one.excess(), one.within(from, to)))
	}
	return sum
}

// watch begins to try the machine. It ends with the process.
func (s *stalls) watch(dir string) error {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return fmt.Errorf("watch for stalls: %w", err)
	}
	s.note(time.Now())
	go func() {
		for {
			time.Sleep(probeEvery)
			_, _ = file.WriteAt([]byte("probe"), 0) // How long it takes is all that matters.
			_ = file.Sync()
			s.note(time.Now())
		}
	}()
	return nil
}

// note takes down that a probe has ended.
func (s *stalls) note(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := (stall{s.last, now}); !s.last.IsZero() && one.excess() > 0 {
		s.seen = append(s.seen, one)
	}
	s.last = now
}
