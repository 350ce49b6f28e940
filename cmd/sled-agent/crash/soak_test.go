package crash

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

// How the agent is killed in the soak: so often, and each time after it has
// served for a while.
const (
	fewKills  = 6
	leastLife = 20 * time.Millisecond
	mostLife  = 700 * time.Millisecond
	atATime   = 8 // VMMs
)

// In a host full of VMMs that come and go, while the agent is killed again and
// again and Nexus is unwell for part of the time, no VM dies that nobody ended,
// every stop keeps its deadline and nothing is left (R, D, T, N, L).
//
// SOAK_KILLS says how often the agent is killed, SOAK_SEED repeats the choices of
// an earlier run.
func TestSoak(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, "SOAK_KILLS", fewKills), number(t, "SOAK_SEED", time.Now().UnixNano())
	t.Logf("SOAK_SEED=%d", seed)
	if kills > fewKills {
		fmt.Fprintf(os.Stderr, "soak: SOAK_SEED=%d\n", seed)
	}
	l := newSled(t, setup{nexus: section{"request_timeout": "1s"}})
	s := soak{t: t, l: l, seed: uint64(seed), kills: kills, done: make(chan struct{})}
	var slots sync.WaitGroup
	for slot := range uint64(atATime) {
		slots.Go(func() { s.occupy(slot) })
	}
	slots.Go(s.trouble)
	s.killAgain()
	close(s.done)
	slots.Wait()
	t.Logf("the agent was killed %d times while %d VMMs have lived", kills, s.lived.Load())
	l.conclude()
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
	l     *sled
	seed  uint64
	kills int64
	done  chan struct{}
	lived atomic.Int64
}

// chooser makes one part's choices, the same for the same seed.
func (s *soak) chooser(part uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, part)) }

// killAgain kills the agent and starts the next one, as often as was said.
func (s *soak) killAgain() {
	r := s.chooser(1000)
	for n := range s.kills {
		lives := time.NewTimer(leastLife + time.Duration(r.Int64N(int64(mostLife-leastLife))))
		<-lives.C
		if r.IntN(10) == 0 {
			s.l.terminateAndStart()
		} else {
			s.l.crash()
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

// occupy lives one VMM after the other.
func (s *soak) occupy(slot uint64) {
	r := s.chooser(slot)
	for n := 0; !s.over() && !s.t.Failed(); n++ {
		s.t.Run(fmt.Sprintf("VMM-%d.%d", slot, n), func(t *testing.T) {
			v := s.l.newVM(t)
			randomLife(v, r)
			s.l.drop(v)
			s.lived.Add(1)
		})
	}
}

// randomLife is one of several lives that a VMM may have.
func randomLife(v *vm, r *rand.Rand) {
	kind, grace := r.IntN(8), time.Duration(r.IntN(1500))*time.Millisecond
	if kind == 0 {
		v.register()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
		return
	}
	v.start()
	for range r.IntN(3) {
		v.dwell(time.Duration(r.IntN(300)) * time.Millisecond)
		v.runsStill()
	}
	switch kind {
	case 1:
		v.unregister()
		v.endsInSilence()
	case 2:
		v.endsNow()
		v.sim("POST", "do/guest-poweroff", nil, nil)
		v.ends(vmm.WireDestroyed)
	case 3:
		v.endsNow()
		v.sim("POST", "do/crash", nil, nil)
		v.ends(vmm.WireFailed)
	case 4, 5:
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	default:
		v.lies("ignore-stop")
		v.removedOnTime(v.stop(grace))
		v.ends(vmm.WireDestroyed)
	}
}

// trouble makes Nexus unwell for part of the time.
func (s *soak) trouble() {
	r := s.chooser(1001)
	faults := []string{"status=503", "status=500", "silent", "reset", "lost-answer", "delay=100ms", "fail-percent=50",
		"half", "refuse", "garbage"}
	for !s.over() {
		s.setFault(faults[r.IntN(len(faults))])
		s.pause(time.Duration(r.IntN(400)) * time.Millisecond)
		s.setFault()
		s.pause(time.Duration(r.IntN(800)) * time.Millisecond)
	}
}

func (s *soak) setFault(specs ...string) {
	if err := s.l.nexus.SetFault(specs...); err != nil {
		s.t.Error(err)
	}
}

func (s *soak) pause(d time.Duration) {
	select {
	case <-s.done:
	case <-time.After(d):
	}
}
