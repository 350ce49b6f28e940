package srv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
)

// Name is the name of the service in DNS.
const Name = "_nexus._tcp.control-plane.oxide.internal."

const (
	// minTTL and maxTTL bound the time between an answer and the next resolution.
	minTTL = 5 * time.Second
	maxTTL = 5 * time.Minute
	// minPause and maxPause bound the pause after a failed resolution.
	minPause = time.Second
	maxPause = 30 * time.Second
)

// Options configure a Resolver.
type Options struct {
	// Servers are asked in turn, beginning with the last one that gave a whole answer.
	Servers []netip.AddrPort
	// Found is called with each set of replicas that differs from the one before. The set
	// is not empty; replicas of a lower priority (a higher number) come later.
	Found func([]netip.AddrPort)
	// Report is called with the outcome of each resolution. An error's text stays the same
	// while the cause does.
	Report func(error)
	Log    zerolog.Logger
}

// A Resolver resolves the name of Nexus. Stats is safe for concurrent use.
type Resolver struct {
	o                Options
	ask              asker
	minTTL, minPause time.Duration
	// Used by Run only:
	first   int                     // the server that is asked first
	current []replica               // the set that was reported last, sorted
	known   map[string][]netip.Addr // addresses of the last answer's targets

	mu    sync.Mutex
	stats Stats
}

// Stats are a Resolver's counters.
type Stats struct {
	// Resolutions is the number of resolutions, Failed that of those without an answer, or
	// with one that lacks addresses.
	Resolutions, Failed uint64
	// Good is when the last whole answer was received; before it, when the Resolver was
	// made.
	Good time.Time
}

// New returns a Resolver. It asks no server until Run.
func New(o Options) *Resolver {
	return &Resolver{o: o, ask: exchange, minTTL: minTTL, minPause: minPause, known: map[string][]netip.Addr{}, stats: Stats{Good: time.Now()}}
}

// Lookup resolves the name once and returns the replicas.
func Lookup(ctx context.Context, servers []netip.AddrPort) ([]netip.AddrPort, error) {
	r := New(Options{Servers: servers})
	found, err := r.resolve(ctx)
	var addrs []netip.AddrPort
	replicas, _ := found.replicas(r.known)
	for _, replica := range replicas {
		addrs = append(addrs, replica.addr)
	}
	return addrs, err
}

// Stats returns the current counters.
func (r *Resolver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Run resolves the name until ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(r.minPause), backoff.WithMaxInterval(maxPause),
		backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0))
	for {
		found, err := r.resolve(ctx)
		if ctx.Err() != nil {
			return
		}
		r.count(err)
		r.use(found)
		r.o.Report(err)
		pause := min(max(found.ttl, r.minTTL), maxTTL)
		if err == nil {
			pauses.Reset()
		} else {
			pause = pauses.NextBackOff()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (r *Resolver) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Resolutions++
	if err != nil {
		r.stats.Failed++
	} else {
		r.stats.Good = time.Now()
	}
}

// resolve asks the servers in turn until one gives a whole answer. Otherwise it returns the
// first incomplete answer, if there is any, and the errors of all.
func (r *Resolver) resolve(ctx context.Context) (best answer, err error) {
	var errs []string
	n := len(r.o.Servers)
	for k := range n {
		i := (r.first + k) % n
		a, err := r.consult(ctx, r.o.Servers[i])
		if err == nil {
			r.first = i
			return a, nil
		}
		if best.targets == nil {
			best = a
		}
		errs = append(errs, fmt.Sprintf("%s: %v", r.o.Servers[i], err))
	}
	return best, errors.New("SRV " + Name + ": " + strings.Join(errs, "; "))
}

// use makes an answer's replicas the current ones, unless it has none.
func (r *Resolver) use(a answer) {
	found, known := a.replicas(r.known)
	if len(found) == 0 {
		return
	}
	r.known = known
	if slices.Equal(found, r.current) {
		return
	}
	r.current = found
	// Agents that find the same replicas do not all begin with the same one.
	mixed := slices.Clone(found)
	rand.Shuffle(len(mixed), func(i, k int) { mixed[i], mixed[k] = mixed[k], mixed[i] })
	slices.SortStableFunc(mixed, func(a, b replica) int { return cmp.Compare(a.priority, b.priority) })
	addrs, texts := make([]netip.AddrPort, len(mixed)), make([]string, len(mixed))
	for i, m := range mixed {
		addrs[i], texts[i] = m.addr, m.addr.String()
	}
	r.o.Log.Info().Strs("replicas", texts).Msg("replicas of Nexus found by DNS have changed")
	r.o.Found(addrs)
}
