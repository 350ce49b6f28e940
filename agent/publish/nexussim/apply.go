package nexussim

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A Migration is a row of Nexus's table of live migrations.
type Migration struct {
	ID uuid.UUID `json:"id"`
	// Source and Target are the two VMMs. A nil one is set by the first update that
	// reports that side.
	Source uuid.UUID `json:"source"`
	Target uuid.UUID `json:"target"`
	// Deleted rows make an update that refers to them fail as a whole.
	Deleted bool `json:"deleted"`
}

// A migration has two sides: its target, which reports it as MigrationIn, and its source.
type migration struct {
	deleted bool
	sides   [2]side
}

// A side is one VMM's part in a migration. Nexus's rows begin at generation 1.
type side struct {
	vmm uuid.UUID
	gen uint64
}

// apply carries out one update as a transaction: it stores everything that is newer, or
// nothing if it returns a problem. A null migration is no update.
func (s *Server) apply(id uuid.UUID, rec vmm.Record) (Effect, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := [2]*vmm.Migration{rec.MigrationIn, rec.MigrationOut}
	if in, out := reports[0], reports[1]; in != nil && out != nil && in.ID == out.ID {
		return Rejected, refusal(http.StatusConflict,
			"a VMM cannot be both the source and the target of migration "+in.ID.String())
	}
	if s.known != nil && !s.known[id] {
		return Rejected, internal("VMM " + id.String() + " has no row")
	}
	for i, r := range reports {
		if p := s.checkMigration(id, r, i); p != nil {
			return Rejected, p
		}
	}
	effect := Stale
	row := s.stored[id]
	if row == nil {
		row = &vmm.Record{}
		s.stored[id] = row
	}
	for i, stored := range []**vmm.Migration{&row.MigrationIn, &row.MigrationOut} {
		if s.storeMigration(id, reports[i], i) {
			*stored, effect = reports[i], MigrationOnly
		}
	}
	if row.VMM.State == "" || row.VMM.Gen < rec.VMM.Gen {
		row.VMM, effect = rec.VMM, Updated
	}
	return effect, nil
}

// checkMigration returns why a migration's record must not be stored, or nil.
func (s *Server) checkMigration(id uuid.UUID, r *vmm.Migration, i int) *problem {
	if r == nil {
		return nil
	}
	m := s.migrations[r.ID]
	switch {
	case m == nil && s.onlyKnownMigrations:
		return internal("migration " + r.ID.String() + " has no row")
	case m == nil:
		return nil
	case m.deleted:
		return refusal(http.StatusGone, "migration "+r.ID.String()+" has been deleted")
	case m.sides[i].vmm != uuid.Nil && m.sides[i].vmm != id:
		return refusal(http.StatusBadRequest, "migration "+r.ID.String()+" belongs to VMM "+m.sides[i].vmm.String())
	}
	return nil
}

// storeMigration reports whether a migration's record is newer by its own generation.
func (s *Server) storeMigration(id uuid.UUID, r *vmm.Migration, i int) bool {
	if r == nil {
		return false
	}
	side := &s.migration(r.ID).sides[i]
	side.vmm = id
	newer := side.gen < r.Gen
	side.gen = max(side.gen, r.Gen)
	return newer
}

func (s *Server) migration(id uuid.UUID) *migration {
	m := s.migrations[id]
	if m == nil {
		m = &migration{sides: [2]side{{gen: 1}, {gen: 1}}}
		s.migrations[id] = m
	}
	return m
}
