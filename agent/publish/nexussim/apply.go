package nexussim

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A database is Nexus's two tables as far as a VMM's update touches them.
type database struct {
	vmms map[uuid.UUID]*vmm.Record
	// known is nil while every VMM that is written to exists.
	known      map[uuid.UUID]bool
	migrations map[uuid.UUID]*migration
	// toldMigrations is false while every migration that is named exists.
	toldMigrations bool
}

// A Migration is a row of Nexus's table of live migrations, as a test makes it.
type Migration struct {
	ID uuid.UUID `json:"id"`
	// Source and Target are the two VMMs; nil for a side that the first update
	// may claim.
	Source uuid.UUID `json:"source"`
	Target uuid.UUID `json:"target"`
	// Deleted rows make an update that names them fail as a whole.
	Deleted bool `json:"deleted"`
}

type migration struct {
	deleted        bool
	source, target side
}

// A side is one VMM's part in a migration. Nexus's rows begin at generation 1.
type side struct {
	vmm uuid.UUID
	gen uint64
}

func newDatabase() *database {
	return &database{vmms: map[uuid.UUID]*vmm.Record{}, migrations: map[uuid.UUID]*migration{}}
}

// apply carries out one update as one transaction: it stores all that is newer
// or, if it returns a problem, nothing. A null migration is no update.
func (db *database) apply(id uuid.UUID, rec vmm.Record) (Effect, *problem) {
	in, out := rec.MigrationIn, rec.MigrationOut
	if in != nil && out != nil && in.ID == out.ID {
		return Rejected, &problem{status: http.StatusConflict,
			message: "a VMM cannot be both the source and the target of migration " + in.ID.String()}
	}
	if db.known != nil && !db.known[id] {
		return Rejected, internal("VMM " + id.String() + " has no row")
	}
	if p := db.checkSide(id, in, (*migration).inbound); p != nil {
		return Rejected, p
	}
	if p := db.checkSide(id, out, (*migration).outbound); p != nil {
		return Rejected, p
	}
	row := db.vmms[id]
	newer := row == nil || row.VMM.Gen < rec.VMM.Gen
	if row == nil {
		row = &vmm.Record{}
		db.vmms[id] = row
	}
	if newer {
		row.VMM = rec.VMM
	}
	moved := db.storeSide(id, &row.MigrationIn, in, (*migration).inbound)
	moved = db.storeSide(id, &row.MigrationOut, out, (*migration).outbound) || moved
	switch {
	case newer:
		return Updated, nil
	case moved:
		return MigrationOnly, nil
	}
	return Stale, nil
}

func (m *migration) inbound() *side  { return &m.target }
func (m *migration) outbound() *side { return &m.source }

// checkSide tells why a migration's record may not be stored, if it may not.
func (db *database) checkSide(id uuid.UUID, r *vmm.Migration, which func(*migration) *side) *problem {
	if r == nil {
		return nil
	}
	m := db.migrations[r.ID]
	switch {
	case m == nil && db.toldMigrations:
		return internal("migration " + r.ID.String() + " has no row")
	case m == nil:
		return nil
	case m.deleted:
		return &problem{status: http.StatusGone, message: "migration " + r.ID.String() + " has been deleted"}
	case which(m).vmm != uuid.Nil && which(m).vmm != id:
		return &problem{status: http.StatusBadRequest,
			message: "migration " + r.ID.String() + " belongs to VMM " + which(m).vmm.String()}
	}
	return nil
}

// storeSide stores a migration's record if it is newer by its own generation.
func (db *database) storeSide(id uuid.UUID, row **vmm.Migration, r *vmm.Migration, which func(*migration) *side) bool {
	if r == nil {
		return false
	}
	m := db.migration(r.ID)
	s := which(m)
	s.vmm = id
	if s.gen >= r.Gen {
		return false
	}
	s.gen = r.Gen
	c := *r
	*row = &c
	return true
}

func (db *database) migration(id uuid.UUID) *migration {
	m := db.migrations[id]
	if m == nil {
		m = &migration{source: side{gen: 1}, target: side{gen: 1}}
		db.migrations[id] = m
	}
	return m
}

// tell makes or changes a migration's row.
func (db *database) tell(t Migration) {
	db.toldMigrations = true
	m := db.migration(t.ID)
	m.deleted = t.Deleted
	if t.Source != uuid.Nil {
		m.source.vmm = t.Source
	}
	if t.Target != uuid.Nil {
		m.target.vmm = t.Target
	}
}

// know says which VMMs exist beside those it said before.
func (db *database) know(ids []uuid.UUID) {
	if db.known == nil {
		db.known = map[uuid.UUID]bool{}
	}
	for _, id := range ids {
		db.known[id] = true
	}
}
