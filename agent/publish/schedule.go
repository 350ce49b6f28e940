package publish

import (
	"container/heap"
	"time"
)

// maxOver is how many VMMs that have ended are remembered for Status. A caller
// that drops the VMMs it forgets never comes near it; one that does not must
// not make the publisher grow for ever.
const maxOver = 4096

// schedule looks after what comes due by the mere passing of time.
func (p *Publisher) schedule() {
	defer p.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		p.mu.Lock()
		now := time.Now()
		p.dispatch(now)
		p.alarm = p.nextDue()
		alarm := p.alarm
		p.mu.Unlock()
		if alarm.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(alarm.Sub(now))
		}
	}
}

// dispatch starts a round for each slot that is due, while there is room. It
// runs wherever something has become due, so that a record is on its way
// without a detour by the scheduler. Caller holds mu.
func (p *Publisher) dispatch(now time.Time) {
	if p.closed {
		return
	}
	p.expire(now)
	for p.room() && !p.due[0].due.After(now) {
		s := heap.Pop(&p.due).(*slot)
		s.busy, s.idle = true, make(chan struct{})
		p.inFlight++
		p.running++
		go p.serve(s)
	}
	next := p.nextDue()
	if !next.IsZero() && (p.alarm.IsZero() || next.Before(p.alarm)) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// room: somebody waits, and there is a place for one more round.
func (p *Publisher) room() bool { return len(p.due) > 0 && p.inFlight < p.cfg.Concurrency }

// nextDue returns when dispatch has something to do again, if nothing happens
// until then; zero: never. Caller holds mu.
func (p *Publisher) nextDue() time.Time {
	var next time.Time
	if p.room() {
		next = p.due[0].due
	}
	if e := p.deadlines.Front(); e != nil {
		if d := e.Value.(*slot).newest.deadline; next.IsZero() || d.Before(next) {
			next = d
		}
	}
	return next
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
		return
	case s.notBefore.After(now):
		s.due = s.notBefore
	default:
		s.due = now
	}
	p.seq++
	s.seq = p.seq
	heap.Push(&p.due, s)
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
	s.over = p.over.PushBack(s)
	if p.over.Len() > maxOver {
		oldest := p.over.Remove(p.over.Front()).(*slot)
		delete(p.slots, oldest.id)
	}
}

// release ends s's round. Caller does not hold mu.
func (p *Publisher) release(s *slot) {
	p.mu.Lock()
	now := time.Now()
	s.busy = false
	close(s.idle)
	switch {
	case s.newest == nil:
		delete(p.slots, s.id)
	case !s.newest.settled:
		p.enqueue(s, now)
	case s.newest.terminal():
		p.retire(s)
	}
	p.inFlight--
	p.dispatch(now)
	p.mu.Unlock()
	p.leave()
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
