package runner

import (
	"sync"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
)

// kept is what the journal was given of the VMM last. The loop saves states, and
// effects wait for them. How far the publication and the removal have come is
// saved beside that by those who know, who have nothing to do with the loop and
// wait for nobody: what the next process does not find of it, it finds out.
type kept struct {
	// mu puts the entries in their order. To save is to hand over: it does no I/O.
	mu sync.Mutex
	// entry is without a registration before the first save and after the last.
	entry ledger.Entry
}

// save begins to make a state durable.
func (r *Runner) save(s vmm.State, z ledger.Zone) <-chan error {
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	e := &r.kept.entry
	e.Registration, e.State, e.Zone = r.reg, s, z
	return r.host.Journal.Save(r.id, *e)
}

// saveBeside begins to save what change makes of the entry, unless that is
// nothing new or there is nothing to save it with.
func (r *Runner) saveBeside(what string, change func(*ledger.Entry) bool) {
	failpoint.Here("beside/" + what + "/before")
	defer failpoint.Here("beside/" + what + "/after")
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	if e := &r.kept.entry; change(e) && e.Registration != nil {
		r.host.Journal.Save(r.id, *e) // nobody waits
	}
}

// saveAcked saves that Nexus has acknowledged a generation.
func (r *Runner) saveAcked(gen uint64) {
	r.saveBeside("acked", func(e *ledger.Entry) bool {
		news := gen > e.Acked
		e.Acked = max(e.Acked, gen)
		return news
	})
}

// saveRemoval saves how far the removal has come. One more try that ends like
// the last one is not news.
func (r *Runner) saveRemoval() {
	r.saveBeside("removal", func(e *ledger.Entry) bool {
		was, is := e.Removal, r.notes.removed()
		news := is != nil && (was == nil || !was.Begun.Equal(is.Begun) || was.Rung != is.Rung ||
			was.ZoneState != is.ZoneState || was.LastError != is.LastError || (was.Gone == nil) != (is.Gone == nil))
		if news {
			e.Removal = is
		}
		return news
	})
}

// drop has the journal forget the VMM, and keeps whoever comes late from
// bringing it back.
func (r *Runner) drop() {
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	r.kept.entry = ledger.Entry{}
	r.host.Journal.Drop(r.id)
}
