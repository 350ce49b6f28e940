package publish

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// A peer is one replica of Nexus.
type peer struct {
	base string
	busy int // PUTs in progress
	// shunned is until when the peer, which gave no answer, is avoided by rounds that
	// have another one to ask. Zero: it answers.
	shunned  time.Time
	reported report
	added    int // the version of the set that it came with
}

func (p *peer) isShunned(now time.Time) bool { return now.Before(p.shunned) }

// peers assigns places, each for one PUT at one peer. Each peer has a share of them, so
// that hanging peers cannot occupy those of the others.
type peers struct {
	shunFor     time.Duration
	concurrency int

	mu      sync.Mutex // not held during I/O
	all     []*peer
	version int // of the set: how often it was replaced
	share   int
	busy    int // PUTs in progress, also at peers that are not in all any more
	prefer  int // first peer of a round: the last one with a good answer
	queue   queue
	closed  bool          // no places are assigned
	idle    chan struct{} // closed when no PUT is in progress after close
}

// A round is one attempt to have a record acknowledged by any peer.
type round struct {
	asked []*peer
	end   bool // the record says that the VMM has ended
	well  bool // a peer that was not shunned has been asked
	// version is that of the set when the first peer was chosen. Peers that came later are
	// not asked, so that a round ends however often the set is replaced.
	version int
}

// Results of pick other than an index.
const (
	wait = -1 // every peer that should be asked is busy
	over = -2 // no peer is left
)

func newPeers(addresses []string, concurrency int, shunFor time.Duration) *peers {
	ps := &peers{shunFor: shunFor, concurrency: concurrency, idle: make(chan struct{})}
	ps.set(addresses)
	return ps
}

// set replaces the peers. What is known of those that stay is kept.
func (ps *peers) set(addresses []string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	before := ps.all
	ps.version++
	ps.all = make([]*peer, len(addresses))
	preferred := 0
	for i, a := range addresses {
		base := strings.TrimRight(a, "/")
		k := slices.IndexFunc(before, func(p *peer) bool { return p.base == base })
		if k < 0 {
			ps.all[i] = &peer{base: base, added: ps.version}
			continue
		}
		ps.all[i] = before[k]
		if k == ps.prefer {
			preferred = i
		}
	}
	ps.prefer = preferred
	ps.share = max(1, ps.concurrency/max(1, len(addresses)))
	ps.assign(time.Now())
}

// pick chooses the next peer for r: the first one from start on that was not asked yet,
// is not shunned and has a free place. It does not choose a shunned one while another one
// answers, since a hanging peer costs a whole RequestTimeout.
func pick(all []*peer, r *round, start, share int, now time.Time) int {
	second, busy := over, false
	for k := range all {
		i := (start + k) % len(all)
		full, shunned := all[i].busy >= share, all[i].isShunned(now)
		switch {
		case all[i].added > r.version, slices.Contains(r.asked, all[i]), shunned && r.well:
		case !shunned && !full:
			return i
		case !shunned:
			busy = true
		case !full && second < 0:
			second = i
		case full && second == over:
			second = wait
		}
	}
	if busy {
		return wait
	}
	return second
}

// take assigns r its next place; nil if no peer is left. It reports false if r has to wait.
// ps.mu is held.
func (ps *peers) take(r *round, now time.Time) (p *peer, ok bool) {
	if ps.closed { // until its context ends
		return nil, false
	}
	if len(r.asked) == 0 {
		r.version = ps.version
	}
	switch i := pick(ps.all, r, ps.prefer, ps.share, now); {
	case i == over:
		return nil, true
	case i == wait, ps.busy >= ps.limit():
		return nil, false
	default:
		p = ps.all[i]
	}
	r.asked = append(r.asked, p)
	r.well = r.well || !p.isShunned(now)
	if !p.shunned.IsZero() {
		p.shunned = now.Add(ps.shunFor) // others wait for the result of this one
	}
	p.busy++
	ps.busy++
	return p, true
}

// limit bounds all PUTs in progress. Those at peers that were replaced go on, and must not
// become more and more if the set changes all the time.
func (ps *peers) limit() int { return 2 * max(ps.concurrency, len(ps.all)) }

// acquire waits for r's next place and returns its peer; nil if no peer is left.
func (ps *peers) acquire(ctx context.Context, r *round) (*peer, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ps.mu.Lock()
	p, ok := ps.take(r, time.Now())
	if ok {
		ps.mu.Unlock()
		return p, nil
	}
	w := &waiter{round: r, place: make(chan *peer, 1)}
	e := ps.queue.of(r).PushBack(w)
	ps.mu.Unlock()
	select {
	case p := <-w.place:
		return p, nil
	case <-ctx.Done():
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.queue.of(r).Remove(e)
	select {
	case p := <-w.place: // assigned at the same moment
		if p != nil {
			ps.free(p)
		}
	default:
	}
	ps.settle()
	return nil, context.Cause(ctx)
}

// release frees the place at p and records the outcome. It returns what is to be logged of
// the peer, or nil.
func (ps *peers) release(p *peer, o outcome) *change {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	defer ps.free(p)
	// Another peer may give a better answer, also after a refusal, and after a caller's
	// deadline before the end of RequestTimeout.
	if i := slices.Index(ps.all, p); i >= 0 && o.verdict == Acked {
		ps.prefer = i
	} else if i >= 0 && ps.prefer == i {
		ps.prefer = (i + 1) % len(ps.all)
	}
	if o.cancelled {
		return nil // says nothing about the peer
	}
	now := time.Now()
	p.shunned = time.Time{}
	if o.status == 0 {
		p.shunned = now.Add(ps.shunFor)
	}
	return p.reported.update(o, p.base, now)
}

// free assigns the place at p to the first round that can use it. ps.mu is held.
func (ps *peers) free(p *peer) {
	p.busy--
	ps.busy--
	ps.assign(time.Now())
	ps.settle()
}

// assign gives the rounds that wait what places there are, in order. ps.mu is held.
func (ps *peers) assign(now time.Time) {
	for _, waiting := range ps.queue.order() {
		for e := waiting.Front(); e != nil && !ps.closed; {
			w, next := e.Value.(*waiter), e.Next()
			if p, ok := ps.take(w.round, now); ok {
				waiting.Remove(e)
				w.place <- p
				ps.queue.given++
				if p != nil && ps.full() {
					return
				}
			}
			e = next
		}
	}
}

func (ps *peers) full() bool {
	return !slices.ContainsFunc(ps.all, func(p *peer) bool { return p.busy < ps.share })
}

// settle closes idle if no PUT is in progress. ps.mu is held.
func (ps *peers) settle() {
	if !ps.closed || ps.busy+ps.queue.len() > 0 {
		return
	}
	select {
	case <-ps.idle:
	default:
		close(ps.idle)
	}
}

// known returns the peers' URLs, and how many of them are avoided.
func (ps *peers) known() (bases []string, avoided int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	now := time.Now()
	bases = make([]string, 0, len(ps.all))
	for _, p := range ps.all {
		bases = append(bases, p.base)
		if p.isShunned(now) {
			avoided++
		}
	}
	return bases, avoided
}

// close ends the assignment of places; waiting rounds end with their contexts.
func (ps *peers) close() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.closed = true
	ps.settle()
}
