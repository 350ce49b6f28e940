package agent_test

import (
	"errors"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
)

// dice are random numbers per VMM and kind of call: the fault of the n-th look at a zone
// depends on the seed only, and not on concurrent calls.
type dice struct {
	seed uint64
	mu   sync.Mutex
	n    map[string]uint64
}

func (d *dice) throw(what string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n[what]++
	return rand.New(rand.NewPCG(d.seed^h.Sum64(), d.n[what]))
}

func rnd(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) }

// A disk is the state that survives the agent.
type disk struct {
	entries map[uuid.UUID]ledger.Entry
	ended   []vmm.Status
}

// States of the disk.
const (
	diskWorks = iota
	diskFails
	diskHangs
)

var errDisk = errors.New("write ledger: no space left on device")

// chaosJournal is the journal of one agent, on a disk that sometimes fails or hangs. What
// is not written when the agent is killed is lost.
type chaosJournal struct {
	ledger.Memory
	d *dice

	mu     sync.Mutex
	disk   *disk
	mode   int
	turned chan struct{} // closed when the mode changes
	frozen bool
	// newest are the entries that are not written, drops the VMMs to be removed; last is
	// the newest entry of each.
	newest map[uuid.UUID]ledger.Entry
	drops  map[uuid.UUID]*vmm.Status
	last   map[uuid.UUID]vmm.State
	// refused are the VMMs with a failed write that the agent knows of.
	refused map[uuid.UUID]bool
}

func newChaosJournal(d *dice, on *disk) *chaosJournal {
	j := &chaosJournal{Memory: ledger.NewMemory(0), d: d, disk: on, turned: make(chan struct{}),
		newest: map[uuid.UUID]ledger.Entry{}, drops: map[uuid.UUID]*vmm.Status{},
		last: map[uuid.UUID]vmm.State{}, refused: map[uuid.UUID]bool{}}
	for _, s := range on.ended {
		j.Memory.Drop(s.ID, &s)
	}
	return j
}

func (j *chaosJournal) loaded(rebooted bool) (all []ledger.Loaded) {
	for id, e := range j.disk.entries {
		all = append(all, ledger.Loaded{ID: id, Entry: e, HostRebooted: rebooted})
	}
	return all
}

func (j *chaosJournal) Save(id uuid.UUID, e ledger.Entry) <-chan error {
	r := j.d.throw("save " + id.String())
	done := make(chan error, 1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.frozen {
		return done
	}
	j.newest[id], j.last[id] = e, e.State
	delete(j.drops, id) // it was refused, and is registered again
	turned := j.turned
	switch {
	case j.mode == diskWorks && r.IntN(3) > 0:
		j.commit()
		return nil
	case j.mode == diskWorks:
		turned = nil
		time.AfterFunc(rnd(r, time.Second), func() { j.write(id, done) })
	case j.mode == diskFails:
		time.AfterFunc(rnd(r, 100*time.Millisecond), func() { j.refuse(id, done) })
	default:
		go func() {
			<-turned
			j.write(id, done)
		}()
		time.AfterFunc(2*time.Second, func() { j.refuse(id, nil) })
	}
	return done
}

// write writes everything that is pending, if the disk works.
func (j *chaosJournal) write(id uuid.UUID, done chan<- error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.frozen:
	case j.mode == diskWorks:
		j.commit()
		done <- nil
	default:
		j.refused[id] = true
		done <- errDisk
	}
}

func (j *chaosJournal) refuse(id uuid.UUID, done chan<- error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, waits := j.newest[id]; waits {
		j.refused[id] = true
	}
	if done != nil && !j.frozen {
		done <- errDisk
	}
}

// commit writes everything. j.mu is held.
func (j *chaosJournal) commit() {
	maps.Copy(j.disk.entries, j.newest)
	for id, last := range j.drops {
		delete(j.disk.entries, id)
		if last != nil {
			j.disk.ended = append(j.disk.ended, *last)
		}
	}
	clear(j.newest)
	clear(j.drops)
	clear(j.refused)
}

func (j *chaosJournal) Drop(id uuid.UUID, last *vmm.Status) {
	j.Memory.Drop(id, last)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.frozen {
		return
	}
	delete(j.newest, id)
	j.drops[id] = last
	if j.mode == diskWorks {
		j.commit()
	}
}

func (j *chaosJournal) Trouble() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.refused) > 0 {
		return errDisk
	}
	return nil
}

// turn changes the disk's state.
func (j *chaosJournal) turn(mode int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mode = mode
	if mode == diskWorks && !j.frozen {
		j.commit()
	}
	close(j.turned)
	j.turned = make(chan struct{})
}

// freeze ends writing, as a kill of the agent does, and returns the VMMs whose state on
// disk is older than one that had effects.
func (j *chaosJournal) freeze() (lost []uuid.UUID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frozen = true
	for id := range j.last {
		is, on := j.last[id], j.disk.entries[id].State
		// A deadline is kept while it is being written.
		expired := is.Armed.For != vmm.ForNothing && !is.Armed.At.After(time.Now())
		if _, there := j.disk.entries[id]; there && (j.refused[id] || j.dropRefused(id) || expired) && !same(is, on) {
			lost = append(lost, id)
		}
	}
	close(j.turned)
	j.turned = make(chan struct{})
	return lost
}

func (j *chaosJournal) dropRefused(id uuid.UUID) bool {
	_, ok := j.drops[id]
	return ok
}

func same(a, b vmm.State) bool {
	return a.Phase == b.Phase && a.Record.VMM == b.Record.VMM && (a.Stop == nil) == (b.Stop == nil) &&
		a.Disowned == b.Disowned && a.Armed == b.Armed
}
