package nexussim

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxPuts bounds the log of PUTs, maxViolations that of broken rules; of the
// latter the first are kept, since the rest follow from them.
const (
	maxPuts       = 10_000
	maxViolations = 1_000
)

// Options say what a simulated Nexus is like at first. The zero value is a
// healthy one that accepts every VMM.
type Options struct {
	// Known are the VMMs that exist; nil means that every VMM does.
	Known []uuid.UUID
	// Seed makes FaultFailPercent repeatable.
	Seed uint64
}

// A Server is a simulated Nexus. Its methods are safe for concurrent use.
type Server struct {
	life context.Context
	end  context.CancelFunc
	gate gate

	mu         sync.Mutex
	rand       *rand.Rand
	faults     faultSet
	db         *database
	rows       map[uuid.UUID]*entry
	seq        uint64 // PUTs that have arrived
	dealt      uint64 // PUTs of which it is known what became
	puts       []Put
	violations []Violation
	// changed is closed and replaced whenever anything above has changed.
	changed chan struct{}
}

// An entry is a Row in the making.
type entry struct {
	Row
	life life
}

// New makes a simulated Nexus. It serves through Handler, Listen or both, until
// Close.
func New(o Options) *Server {
	s := &Server{
		rand:    rand.New(rand.NewPCG(o.Seed, 0)),
		db:      newDatabase(),
		rows:    map[uuid.UUID]*entry{},
		changed: make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if o.Known != nil {
		s.db.know(o.Known)
	}
	return s
}

// Close stops listening, cuts every connection and frees every request that a
// fault holds. The goroutines that served those requests end right after.
func (s *Server) Close() {
	s.end()
	s.gate.close()
}

// SetFault puts these faults, as ParseFault reads them, in the place of those
// in force; none at all heals the server. On error nothing has changed, but for
// a port that could not be opened again: then every fault but FaultRefuse is set.
//
// A request that a fault holds stays held: a client that waited for a silent
// server is not answered by a healed one.
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
	return s.gate.follow(s.life, s.refusing)
}

// Faults returns the faults in force, as SetFault takes them.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.strings()
}

// SetKnown says that these VMMs exist. From the first call on, an update of any
// other is answered with 500, as by a Nexus whose database has no such row.
func (s *Server) SetKnown(ids ...uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.know(ids)
}

// SetMigration makes or changes a migration's row. From the first call on, an
// update that names any other migration is answered with 500.
func (s *Server) SetMigration(m Migration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.tell(m)
}

// Rows returns every VMM that a PUT has named, by the time of the first.
func (s *Server) Rows() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Row, 0, len(s.rows))
	for _, e := range s.rows {
		out = append(out, e.copy())
	}
	slices.SortFunc(out, func(a, b Row) int {
		if c := a.FirstSeen.Compare(b.FirstSeen); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out
}

// Row returns what is known of one VMM; false if no PUT has named it.
func (s *Server) Row(id uuid.UUID) (Row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rowLocked(id)
}

func (s *Server) rowLocked(id uuid.UUID) (Row, bool) {
	e := s.rows[id]
	if e == nil {
		return Row{ID: id}, false
	}
	return e.copy(), true
}

// Wait returns nil as soon as the VMM's row fulfils the condition, and ctx's
// error if that ends first. Before the first PUT the row has only an ID.
func (s *Server) Wait(ctx context.Context, id uuid.UUID, fulfils func(Row) bool) error {
	for {
		s.mu.Lock()
		row, _ := s.rowLocked(id)
		changed := s.changed
		s.mu.Unlock()
		if fulfils(row) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Changed returns a channel that is closed at the next change of anything that
// the other methods return. Take it before looking, so as to miss nothing.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Puts returns the PUTs that were dealt with after the first n, as far as they
// are still kept, and how many there have been: the next n. A PUT that a fault
// delays is not dealt with until the delay is over.
func (s *Server) Puts(n uint64) ([]Put, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.dealt - uint64(len(s.puts))
	skip := min(max(n, oldest), s.dealt) - oldest
	return append([]Put{}, s.puts[skip:]...), s.dealt
}

// Violations returns what a truthful sled would never have sent, in order; the
// first thousand of it.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Violation{}, s.violations...)
}

// notify wakes whoever waits for a change. s.mu is held.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// arrive notes a well-formed PUT and judges it by what was said before. It
// returns its number and the faults that it meets.
func (s *Server) arrive(id uuid.UUID, rec *vmm.Record, at time.Time) (uint64, faultSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	if rec == nil {
		return s.seq, s.faults
	}
	e := s.rows[id]
	if e == nil {
		e = &entry{Row: Row{ID: id, FirstSeen: at}}
		s.rows[id] = e
	}
	e.LastSeen = at
	e.Puts++
	broken := stamp(e.life.arrive(*rec, at), s.seq, at, id)
	s.violations = append(s.violations, broken[:min(len(broken), maxViolations-len(s.violations))]...)
	s.notify()
	return s.seq, s.faults
}

// store applies an update as one transaction.
func (s *Server) store(id uuid.UUID, rec vmm.Record) (Effect, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.apply(id, rec)
}

// chance tells whether an event of so many percent has happened.
func (s *Server) chance(percent float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Float64()*100 < percent
}

// dealtWith notes what became of a PUT.
func (s *Server) dealtWith(p Put) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dealt++
	s.puts = append(s.puts, p)
	if len(s.puts) > maxPuts {
		s.puts = slices.Delete(s.puts, 0, len(s.puts)-maxPuts)
	}
	if p.Record != nil {
		s.rows[p.VMM].dealtWith(p, s.db.vmms[p.VMM])
	}
	s.notify()
}

func (e *entry) dealtWith(p Put, stored *vmm.Record) {
	e.LastAnswer, e.LastEffect = p.Answer, p.Effect
	if p.Effect == Updated || p.Effect == MigrationOnly {
		e.Updates++
	}
	if p.Answer == http.StatusNoContent {
		e.life.acknowledge(*p.Record, time.Now())
	}
	if stored != nil {
		e.Record = copyRecord(*stored)
	}
}

// copy returns the row as it is now; it shares no memory with the entry.
func (e *entry) copy() Row {
	r := e.Row
	if r.Record != nil {
		r.Record = copyRecord(*r.Record)
	}
	r.Acked = e.life.acked
	r.History = slices.Clone(e.life.seen)
	return r
}

func copyRecord(r vmm.Record) *vmm.Record {
	if r.MigrationIn != nil {
		in := *r.MigrationIn
		r.MigrationIn = &in
	}
	if r.MigrationOut != nil {
		out := *r.MigrationOut
		r.MigrationOut = &out
	}
	return &r
}
