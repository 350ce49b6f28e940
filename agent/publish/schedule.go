package publish

import (
	"container/heap"
	"time"
)

// maxOver is how many VMMs that have ended are remembered for Status. A caller
// that drops the VMMs it forgets never comes near it; one that does not must
// not make the publisher grow for ever.
const maxOver = 4096

// schedule starts a round for each slot that is due, while there is room.
func (p *Publisher) schedule() {
	defer p.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait, ok := p.dispatch(); ok {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// dispatch starts what is due and returns how long it is until the next thing
// is; false if only a call or the end of a round can change anything.
func (p *Publisher) dispatch() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, false
	}
	now := time.Now()
	p.expire(now)
	room := func() bool { return len(p.due) > 0 && p.inFlight < p.cfg.Concurrency }
	for room() && !p.due[0].due.After(now) {
		s := heap.Pop(&p.due).(*slot)
		s.busy, s.idle = true, make(chan struct{})
		p.inFlight++
		p.running++
		go p.serve(s)
	}
	var next time.Time
	if room() {
		next = p.due[0].due
	}
	if e := p.deadlines.Front(); e != nil {
		if d := e.Value.(*slot).newest.deadline; next.IsZero() || d.Before(next) {
			next = d
		}
	}
	return next.Sub(now), !next.IsZero()
}

// expire moves the slots whose record is to be given up to the head of the queue.
func (p *Publisher) expire(now time.Time) {
	for e := p.deadlines.Front(); e != nil; e = p.deadlines.Front() {
		s := e.Value.(*slot)
		if !s.newest.expired(now) {
			return
		}
		p.deadlines.Remove(e)
		s.deadline = nil
		p.enqueue(s, now)
	}
}

// enqueue makes s due when its backoff allows, at once if its record is to be
// given up. A slot that is queued already keeps its place. Caller holds mu.
func (p *Publisher) enqueue(s *slot, now time.Time) {
	if s.busy || !s.waiting() {
		return
	}
	expired := s.newest.expired(now)
	switch {
	case expired:
		p.unqueue(s)
		s.due = time.Time{}
	case s.index >= 0 || len(p.replicas.all) == 0:
		p.poke()
		return
	case s.notBefore.After(now):
		s.due = s.notBefore
	default:
		s.due = now
	}
	p.seq++
	s.seq = p.seq
	heap.Push(&p.due, s)
	p.poke()
}

// unqueue takes s out of the queue. Caller holds mu.
func (p *Publisher) unqueue(s *slot) {
	if s.index >= 0 {
		heap.Remove(&p.due, s.index)
	}
}

// unlist takes s off the lists of deadlines and of VMMs that are over. Caller
// holds mu.
func (p *Publisher) unlist(s *slot) {
	if s.deadline != nil {
		p.deadlines.Remove(s.deadline)
		s.deadline = nil
	}
	if s.over != nil {
		p.over.Remove(s.over)
		s.over = nil
	}
}

// retire remembers that the VMM has ended, and forgets the one that ended
// longest ago when there are too many. Caller holds mu.
func (p *Publisher) retire(s *slot) {
	p.unlist(s)
	s.over = p.over.PushBack(s)
	if p.over.Len() > maxOver {
		oldest := p.over.Remove(p.over.Front()).(*slot)
		delete(p.slots, oldest.id)
	}
}

// release ends s's round. Caller does not hold mu.
func (p *Publisher) release(s *slot) {
	p.mu.Lock()
	s.busy = false
	close(s.idle)
	switch {
	case s.newest == nil:
		delete(p.slots, s.id)
	case !s.newest.settled:
		p.enqueue(s, time.Now())
	case s.newest.terminal():
		p.retire(s)
	}
	p.inFlight--
	p.poke()
	p.mu.Unlock()
	p.leave()
}

// poke makes the scheduler look again.
func (p *Publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// leave counts a goroutine of the publisher's out.
func (p *Publisher) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if p.running == 0 {
		close(p.ended)
	}
}
