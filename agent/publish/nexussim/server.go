package nexussim

import (
	"cmp"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxPuts is the number of PUTs kept, maxViolations that of broken rules. Of the latter
// the first are kept, since the others follow from them.
const (
	maxPuts       = 10_000
	maxViolations = 1_000
)

// Options are the initial settings of a simulated Nexus. The zero value has no faults
// and accepts every VMM.
type Options struct {
	// Seed makes FaultFailPercent repeatable.
	Seed uint64
	// TLS, if it is set, is used on the main port.
	TLS *tls.Config
}

// A Server is a simulated Nexus. Its methods are safe for concurrent use.
type Server struct {
	closing context.Context
	end     context.CancelFunc
	gate    gate
	tls     *tls.Config

	mu         sync.Mutex
	rand       *rand.Rand
	faults     faultSet
	rows       map[uuid.UUID]*Row
	seq        uint64 // number of PUTs
	dealt      uint64 // number of PUTs with a result
	puts       []Put
	violations []Violation
	// Nexus's tables, as far as a VMM's update uses them:
	stored              map[uuid.UUID]*vmm.Record
	known               map[uuid.UUID]bool // nil: every VMM exists
	migrations          map[uuid.UUID]*migration
	onlyKnownMigrations bool // false: every migration exists
	// changed is closed and replaced whenever a field above has changed.
	changed chan struct{}
}

// New returns a simulated Nexus. It serves through Handler, Listen or both, until Close.
func New(o Options) *Server {
	api() // load the document before the first request
	s := &Server{
		tls:        o.TLS,
		rand:       rand.New(rand.NewPCG(o.Seed, 0)),
		rows:       map[uuid.UUID]*Row{},
		stored:     map[uuid.UUID]*vmm.Record{},
		migrations: map[uuid.UUID]*migration{},
		changed:    make(chan struct{}),
	}
	s.closing, s.end = context.WithCancel(context.Background())
	return s
}

// Close closes the ports, cuts every connection and releases every held request. Their
// goroutines end right after.
func (s *Server) Close() {
	s.end()
	s.gate.close()
}

// SetFault replaces the faults in force by these, in ParseFault's syntax; with none there
// are no faults. On error nothing has changed, except if a port could not be opened
// again: then every fault but FaultRefuse is set.
//
// A held request stays held: a later SetFault does not answer it.
func (s *Server) SetFault(specs ...string) error {
	fs := make(faultSet, 0, len(specs))
	for _, spec := range specs {
		f, err := ParseFault(spec)
		if err != nil {
			return err
		}
		fs = append(fs, f)
	}
	s.mu.Lock()
	s.faults = fs
	s.notify()
	s.mu.Unlock()
	return s.follow()
}

// Faults returns the faults in force, in SetFault's syntax.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.faults))
	for _, f := range s.faults {
		out = append(out, f.String())
	}
	return out
}

// SetKnown adds VMMs that exist. After the first call, an update of any other VMM is
// answered with 500, like by a Nexus without that row.
func (s *Server) SetKnown(ids ...uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[uuid.UUID]bool{}
	}
	for _, id := range ids {
		s.known[id] = true
	}
}

// SetMigration adds or changes a migration's row. After the first call, an update that
// refers to any other migration is answered with 500.
func (s *Server) SetMigration(m Migration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onlyKnownMigrations = true
	row := s.migration(m.ID)
	row.deleted = m.Deleted
	for i, id := range []uuid.UUID{m.Target, m.Source} {
		if id != uuid.Nil {
			row.sides[i].vmm = id
		}
	}
}

// Rows returns every VMM with a PUT, in order of the first one.
func (s *Server) Rows() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Row, 0, len(s.rows))
	for _, e := range s.rows {
		out = append(out, e.now())
	}
	slices.SortFunc(out, func(a, b Row) int {
		return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// Row returns the state of one VMM; false if there was no PUT for it.
func (s *Server) Row(id uuid.UUID) (Row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.rows[id]; e != nil {
		return e.now(), true
	}
	return Row{ID: id}, false
}

// Wait waits until the VMM's row satisfies the condition. It returns ctx's error if that
// ends first. Before the first PUT the row has only an ID.
func (s *Server) Wait(ctx context.Context, id uuid.UUID, fulfils func(Row) bool) error {
	for {
		changed := s.Changed()
		if row, _ := s.Row(id); fulfils(row) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Changed returns a channel that is closed at the next change of anything that the other
// methods return. Call it before reading, so that no change is missed.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Puts returns the completed PUTs after the first n, as far as they are kept, and their
// total number, which is the next n. A PUT with the delay fault completes after it.
func (s *Server) Puts(n uint64) ([]Put, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.dealt - uint64(len(s.puts))
	skip := min(max(n, oldest), s.dealt) - oldest
	return append([]Put{}, s.puts[skip:]...), s.dealt
}

// Violations returns what a correct sled would not have sent, in order; at most the
// first thousand.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Violation{}, s.violations...)
}

// notify wakes goroutines that wait for a change. s.mu is held.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// arrive stores a well-formed PUT and checks it against earlier ones. It returns its
// number and the faults that apply.
func (s *Server) arrive(id uuid.UUID, rec *vmm.Record, at time.Time) (uint64, faultSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	if rec == nil {
		return s.seq, s.faults
	}
	e := s.rows[id]
	if e == nil {
		e = &Row{ID: id, FirstSeen: at}
		s.rows[id] = e
	}
	e.LastSeen = at
	e.Puts++
	for _, v := range e.arrive(*rec, at) {
		if len(s.violations) < maxViolations {
			v.Seq, v.At, v.VMM = s.seq, at, id
			s.violations = append(s.violations, v)
		}
	}
	s.notify()
	return s.seq, s.faults
}

// chance reports true with the given probability in percent.
func (s *Server) chance(percent float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Float64()*100 < percent
}

// dealtWith records a PUT's result.
func (s *Server) dealtWith(p Put) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dealt++
	s.puts = append(s.puts, p)
	if len(s.puts) > maxPuts {
		s.puts = slices.Delete(s.puts, 0, len(s.puts)-maxPuts)
	}
	if p.Record != nil {
		s.rows[p.VMM].dealtWith(p, s.stored[p.VMM])
	}
	s.notify()
}

func (r *Row) dealtWith(p Put, stored *vmm.Record) {
	r.LastAnswer, r.LastEffect = p.Answer, p.Effect
	if p.Effect == Updated || p.Effect == MigrationOnly {
		r.Updates++
	}
	if p.Answer == http.StatusNoContent {
		r.acknowledge(*p.Record, time.Now())
	}
	if stored != nil {
		now := *stored
		r.Record = &now
	}
}

// now returns a copy. The record itself is immutable.
func (r *Row) now() Row {
	c := *r
	c.History = slices.Clone(r.History)
	return c
}
