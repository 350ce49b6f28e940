package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// How often the agent is killed in the soak, and for how long it serves before each kill.
const (
	fewKills  = 6
	leastLife = 20 * time.Millisecond
	mostLife  = 700 * time.Millisecond
	atATime   = 8 // VMMs
)

// Many VMMs come and go while the agent is killed repeatedly and Nexus fails part of the time. No VM ends
// without a request, every stop keeps its deadline and nothing is left (R, D, T, N, L).
//
// SOAK_KILLS is the number of kills; SOAK_SEED repeats the choices of an earlier run.
func TestSoak(t *testing.T) {
	kills, seed := number(t, "SOAK_KILLS", fewKills), number(t, "SOAK_SEED", time.Now().UnixNano())
	t.Logf("SOAK_SEED=%d", seed)
	if kills > fewKills {
		fmt.Fprintf(os.Stderr, "soak: SOAK_SEED=%d\n", seed)
	}
	// A record whose request was canceled may be processed after the next one. This timeout
	// matters only for a Nexus that is configured to be silent.
	h := newHarness(t, setup{restarts: true, nexus: section{"request_timeout": "5s"}})
	s := soak{t: t, h: h, seed: uint64(seed), kills: kills, done: make(chan struct{})}
	var slots sync.WaitGroup
	for slot := range uint64(atATime) {
		slots.Go(func() { s.occupy(slot) })
	}
	slots.Go(s.nexusFails)
	s.killAgain()
	close(s.done)
	slots.Wait()
	t.Logf("the agent was killed %d times while %d VMMs have lived", kills, s.lived.Load())
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A soak is one run.
type soak struct {
	t     *testing.T
	h     *harness
	seed  uint64
	kills int64
	done  chan struct{}
	lived atomic.Int64
}

// chooser returns the random choices of one part, the same for the same seed.
func (s *soak) chooser(part uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, part)) }

// killAgain kills and restarts the agent the configured number of times.
func (s *soak) killAgain() {
	r := s.chooser(1000)
	for n := range s.kills {
		lifetime := time.NewTimer(leastLife + time.Duration(r.Int64N(int64(mostLife-leastLife))))
		<-lifetime.C
		if r.IntN(10) == 0 {
			s.h.terminate()
			s.h.replace(s.h.agent())
		} else {
			s.h.restart()
		}
		if (n+1)%10 == 0 {
			fmt.Fprintf(os.Stderr, "soak: %d of %d kills, %d VMMs have lived\n", n+1, s.kills, s.lived.Load())
		}
		if s.t.Failed() {
			return
		}
	}
}

func (s *soak) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// occupy runs one VMM after the other.
func (s *soak) occupy(slot uint64) {
	r := s.chooser(slot)
	for n := 0; !s.over() && !s.t.Failed(); n++ {
		s.t.Run(fmt.Sprintf("VMM-%d.%d", slot, n), func(t *testing.T) {
			v := s.h.with(t).newVM()
			randomLife(v, r)
			s.lived.Add(1)
		})
	}
}

// randomLife runs one of several lifecycles.
func randomLife(v *vm, r *rand.Rand) {
	kind, grace := r.IntN(8), time.Duration(r.IntN(1500))*time.Millisecond
	v.register()
	if kind == 0 {
		v.stopAndEnd()
		return
	}
	v.run()
	v.is(vmm.WireRunning)
	for range r.IntN(3) {
		pause(time.Duration(r.IntN(300)) * time.Millisecond)
		v.is(vmm.WireRunning)
	}
	switch kind {
	case 1:
		v.unregister()
		v.endsSilently()
	case 2:
		v.mayEnd()
		v.do("guest-poweroff")
		v.endsDestroyed()
	case 3:
		v.mayEnd()
		v.do("crash")
		v.endsFailed()
	case 4, 5:
		v.stopAndEnd()
	default:
		v.setFaults("ignore-stop")
		v.stopsAtDeadline(grace)
	}
}

// nexusFails makes Nexus fail part of the time.
func (s *soak) nexusFails() {
	r := s.chooser(1001)
	faults := []string{"status=503", "status=500", "silent", "reset", "lost-answer", "delay=100ms", "fail-percent=50",
		"half", "refuse", "garbage"}
	for !s.over() {
		s.h.nexus.setFaults(faults[r.IntN(len(faults))])
		s.pause(time.Duration(r.IntN(400)) * time.Millisecond)
		s.h.nexus.setFaults()
		s.pause(time.Duration(r.IntN(800)) * time.Millisecond)
	}
}

func (s *soak) pause(d time.Duration) {
	select {
	case <-s.done:
	case <-time.After(d):
	}
}
