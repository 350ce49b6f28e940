package propolis

import (
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A faultyVM changes at certain times. Until clears, calls and connections to its
// server fail in any way except two: no answer says that the VM has ended, and connections
// are never refused for GoneAfter without another error in between.
type faultyVM struct {
	mu      sync.Mutex
	random  *rand.Rand
	changes []time.Duration // the last one is the VM's end
	clears  time.Duration
	refused []time.Duration // the starts of two periods of refusals with other errors in between
}

const (
	faultsLast  = 50 * time.Minute
	refusedFor  = 50 * time.Second
	troubledFor = 15 * time.Second
	lastChange  = 20
)

func newFaultyVM(seed uint64) *faultyVM {
	v := &faultyVM{random: rand.New(rand.NewPCG(seed, 1)), clears: faultsLast}
	for range lastChange {
		v.changes = append(v.changes, v.chance(faultsLast))
	}
	v.changes = append(v.changes, faultsLast+5*time.Minute)
	slices.Sort(v.changes)
	for at := time.Duration(0); at < faultsLast-3*refusedFor; at += 3*refusedFor + v.chance(5*time.Minute) {
		v.refused = append(v.refused, at)
	}
	return v
}

func (v *faultyVM) chance(n time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Duration(v.random.Int64N(int64(n)))
}

// at returns the VM's state at a time and how long it lasts.
func (v *faultyVM) at(now time.Duration) (gen uint64, state State, lasts time.Duration) {
	n, _ := slices.BinarySearch(v.changes, now+1)
	switch gen = uint64(n) + 1; {
	case n == len(v.changes):
		return gen, StateDestroyed, time.Hour
	case n%2 == 0:
		return gen, StateRunning, v.changes[n] - now
	}
	return gen, StateRebooting, v.changes[n] - now
}

func (v *faultyVM) dial(now time.Duration) error {
	for _, at := range v.refused {
		switch since := now - at; {
		case since >= 0 && since < refusedFor, since >= refusedFor+troubledFor && since < 2*refusedFor+troubledFor:
			return dialError(syscall.ECONNREFUSED)
		case since >= refusedFor && since < refusedFor+troubledFor:
			return v.trouble()
		}
	}
	if now < v.clears && v.chance(4) == 0 {
		return v.trouble()
	}
	return nil
}

func (v *faultyVM) trouble() error {
	return dialError(localTroubles[v.chance(time.Duration(len(localTroubles)))])
}

func (v *faultyVM) answer(m *memory, asked uint64, w http.ResponseWriter, r *http.Request) {
	fate := v.chance(16)
	if m.since() >= v.clears {
		fate = 15
	}
	switch fate {
	case 0, 1:
		hang(r)
	case 2, 3:
		panic(http.ErrAbortHandler)
	case 4:
		w.WriteHeader(int([]time.Duration{400, 404, 410, 424, 500, 502, 503}[v.chance(7)]))
	case 5:
		w.WriteHeader(404)
		io.WriteString(w, `{"request_id":"r","error_code":"NoInstance","message":"no"}`)
	case 6:
		io.WriteString(w, `{"gen":99,"state":"Destroyed"}`)
	case 7:
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"gen":`)
	default:
		for gen, _, lasts := v.at(m.since()); gen < asked; gen, _, lasts = v.at(m.since()) {
			select {
			case <-time.After(lasts):
			case <-r.Context().Done():
				return
			}
		}
		gen, state, _ := v.at(m.since())
		if fate < 11 {
			time.Sleep(v.chance(8 * time.Second)) // sleep: a late answer, older than the present state
		}
		say(w, gen, state)
	}
}

// Whatever fails between a watch and its server, the VM's end is not reported before it
// happens, observations are true and never go back, and the end is seen soon after the
// faults end.
func TestWatchRandomFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		v := newFaultyVM(seed)
		inMemory(t, v.answer, func(t *testing.T, m *memory) {
			m.dialFault = func() error { return v.dial(m.since()) }
			got, at := m.watch(t, 0, WatchOptions{}, 2*time.Hour)
			seen, silent := 0, false
			for i, word := range got {
				switch word {
				case "silent", "back":
					if silent == (word == "silent") {
						t.Errorf("seed %d: %q twice in %q", seed, word, got)
					}
					silent = word == "silent"
				case "gone", "no instance":
					t.Fatalf("seed %d: %q at %v", seed, word, at[i])
				default:
					state := State(strings.TrimRight(word, "0123456789"))
					gen := slices.IndexFunc(v.changes, func(c time.Duration) bool { return c > at[i] }) + 1
					if gen == 0 {
						gen = len(v.changes) + 1
					}
					said, err := strconv.Atoi(strings.TrimPrefix(word, string(state)))
					if err != nil || said <= seen || said > gen {
						t.Errorf("seed %d: %s after generation %d, when it was %d", seed, word, seen, gen)
					}
					seen = said
				}
			}
			if last := len(got) - 1; got[last] != "Destroyed22" || at[last] > v.changes[lastChange]+35*time.Second {
				t.Errorf("seed %d: %s at %v, want the end at %v", seed, got[last], at[last], v.changes[lastChange])
			}
			if n := m.most.Load(); n > 2 {
				t.Errorf("seed %d: %d connections at once", seed, n)
			}
		})
	}
}
