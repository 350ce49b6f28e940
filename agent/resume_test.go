package agent_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// memory is a journal that the next agent can read.
type memory struct {
	ledger.Memory
	mu      sync.Mutex
	entries map[uuid.UUID]ledger.Entry
	// registrations are stored by the first Save.
	registrations map[uuid.UUID]*vmm.Registration
}

func newMemory() *memory {
	return &memory{Memory: ledger.NewMemory(0), entries: map[uuid.UUID]ledger.Entry{},
		registrations: map[uuid.UUID]*vmm.Registration{}}
}

func (m *memory) Save(id uuid.UUID, e ledger.Entry) <-chan error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[id] = e; e.Registration != nil {
		m.registrations[id] = e.Registration
	}
	return nil
}

func (m *memory) Drop(id uuid.UUID, last *vmm.Status) {
	m.Memory.Drop(id, last)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, id)
}

func (m *memory) Registration(id uuid.UUID) (*vmm.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.registrations[id], nil
}

func (m *memory) entry(id uuid.UUID) (ledger.Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[id]
	return e, ok
}

// If a deadline was disarmed after its removal had begun, a removal is stored with a state
// that has none. The next agent does not run or show it.
func TestRestartShowsNoStaleRemoval(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v := r.start()
		r.end()
		e, _ := m.entry(v.id)
		e.Removal = &vmm.RemovalStatus{Begun: time.Now(), Rung: "halt", LastError: "over budget"}
		r.begin(m, []ledger.Loaded{{ID: v.id, Entry: e}})
		pass(time.Minute)
		if s, err := r.Show(v.id); err != nil || s.Removal != nil || s.Phase != "active" {
			t.Errorf("it shows %+v, %v", s, err)
		}
		if e, _ := m.entry(v.id); e.Removal != nil {
			t.Errorf("it is kept: %+v", e.Removal)
		}
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
	})
}

// restart ends the agent and starts the next one on the same host.
func (r *rig) restart(m *memory) {
	r.t.Helper()
	r.end()
	r.begin(m, r.loaded(m, nil))
}

// loaded returns what the next agent reads, changed by edit if it is not nil.
func (r *rig) loaded(m *memory, edit func(*ledger.Loaded)) (all []ledger.Loaded) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.entries {
		l := ledger.Loaded{ID: id, Entry: e}
		if edit != nil {
			edit(&l)
		}
		all = append(all, l)
	}
	return all
}

// After a restart only records are sent that Nexus has not acknowledged.
func TestRestartSendsUnacknowledgedRecords(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		known, unknown := r.start(), r.start()
		pass(time.Second)
		r.nexusFault("status=503")
		r.do(unknown, "guest-reboot")
		pass(time.Second)
		for _, v := range []guest{known, unknown} {
			row, _ := r.nexus.Row(v.id)
			if e, ok := m.entry(v.id); !ok || e.Acked != row.Acked || e.Acked == 0 {
				t.Errorf("generation %d was acknowledged, and %d is kept of that", row.Acked, e.Acked)
			}
		}
		r.nexusFault()
		r.restart(m)
		pass(time.Minute)
		row, _ := r.nexus.Row(known.id)
		for _, seen := range row.History {
			if seen.Times > 1 {
				t.Errorf("%d PUTs of generation %d, which was acknowledged at once", seen.Times, seen.Gen)
			}
		}
		if s, err := r.Show(known.id); err != nil || s.Publish == nil || s.Publish.Acked != row.Acked || s.Publish.Gen != row.Acked {
			t.Errorf("it shows %+v, %v; Nexus has generation %d", s.Publish, err, row.Acked)
		}
		row, _ = r.nexus.Row(unknown.id)
		if s, err := r.Show(unknown.id); err != nil || row.Acked != s.Record.VMM.Gen {
			t.Errorf("Nexus has acknowledged generation %d, the VMM has %d, %v", row.Acked, s.Record.VMM.Gen, err)
		}
	})
}

// A removal interrupted by a restart is shown with its beginning and its error before it
// is retried.
func TestRestartShowsInterruptedRemoval(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Hang: true})
		r.stop(v, d(0))
		pass(zone.Budget(zone.RungHalt) + time.Second)
		was, err := r.Show(v.id)
		if err != nil || was.Removal == nil || was.Removal.LastError == "" {
			t.Fatalf("it shows %+v, %v", was.Removal, err)
		}
		r.restart(m)
		is, err := r.Show(v.id)
		if err != nil || is.Removal == nil || *is.Removal != *was.Removal {
			t.Errorf("it shows %+v, and was %+v, %v", is.Removal, was.Removal, err)
		}
		pass(time.Minute)
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{})
		r.zones.Unhang()
		r.await(v, vmm.WireDestroyed)
		is, err = r.Show(v.id)
		if err != nil || !is.Removal.Begun.Equal(was.Removal.Begun) || is.Removal.Gone == nil || is.Removal.LastError != "" {
			t.Errorf("gone, it shows %+v, %v", is.Removal, err)
		}
		r.forgotten(v)
		pass(time.Second)
		if e, ok := m.entry(v.id); ok {
			t.Errorf("it is forgotten, and kept: %+v", e)
		}
	})
}
