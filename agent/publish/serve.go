package publish

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
)

// maxGone is how often a terminal record is offered to a Nexus that knows no
// such VMM. More than once, since a replica may lag behind; not for long, since
// a VMM that Nexus has deleted never comes back.
const maxGone = 5

// A try is one PUT.
type try struct {
	id      uuid.UUID
	offer   *offer
	replica int
	base    string
	ctx     context.Context
	cancel  context.CancelFunc
	budget  time.Duration
}

// An outcome is what is to be done about a try, once mu is no longer held.
type outcome struct {
	again  bool // ask the next replica now
	notify func(Result)
	result Result
	log    []func()
}

func (out outcome) tell() {
	for _, log := range out.log {
		log()
	}
	if out.notify != nil {
		out.notify(out.result)
	}
}

// serve sends s's record to each replica in turn, until one answers in a way
// that ends the round. Records offered meanwhile take its place.
func (p *Publisher) serve(s *slot) {
	defer p.release(s)
	if out, expired := p.checkExpired(s); expired {
		out.tell()
		return
	}
	for r := new(round); ; {
		t := p.begin(s, r)
		if t == nil {
			return
		}
		a := p.put(t)
		t.cancel()
		out := p.finish(s, t, a)
		out.tell()
		if !out.again {
			return
		}
	}
}

// checkExpired gives up the record of s if its time is over.
func (p *Publisher) checkExpired(s *slot) (outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.closed || !s.waiting() || !s.newest.expired(now) {
		return outcome{}, false
	}
	var out outcome
	err := s.err
	if err == nil {
		err = errNeverSent
	}
	p.giveUp(s, err, &out)
	return out, true
}

// begin chooses the record and the replica of the round's next try; nil when
// there is nothing to send or nobody left to ask. Then the slot backs off.
func (p *Publisher) begin(s *slot, r *round) *try {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !s.waiting() {
		return nil
	}
	now := time.Now()
	i, ok := p.replicas.next(r, s.shift, now, p.cfg.RetryMax)
	if !ok {
		p.backOff(s, now)
		return nil
	}
	o := s.newest
	o.attempts++
	t := &try{id: s.id, offer: o, replica: i, base: p.replicas.all[i].base, budget: p.cfg.RequestTimeout}
	if o.terminal() {
		t.budget = min(t.budget, o.deadline.Sub(now))
	}
	t.ctx, t.cancel = context.WithTimeout(p.ctx, t.budget)
	s.sending, s.cancel = o, t.cancel
	return t
}

// finish draws the conclusions from an answer.
func (p *Publisher) finish(s *slot, t *try, a answer) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out outcome
	if p.closed || s.sending != t.offer {
		return out
	}
	s.sending, s.cancel = nil, nil
	now, v := time.Now(), a.verdict()
	p.replicas.answered(t.replica, v, now, p.cfg.RetryMax)
	p.noteReplica(t.replica, a, now, &out)
	if v == acked {
		p.acknowledged(s, t.offer, &out)
		return out
	}
	p.failed(s, t.offer, a, now, &out)
	return out
}

// acknowledged: Nexus has o. Caller holds mu.
func (p *Publisher) acknowledged(s *slot, o *offer, out *outcome) {
	p.stats.Acked++
	s.acked = o.gen
	s.err, s.retry, s.notBefore, s.shift = nil, nil, time.Time{}, 0
	if o == s.newest {
		p.settle(s)
		out.notify, out.result = o.notify, Result{Gen: o.gen, Acked: true, Attempts: o.attempts}
	}
}

// failed: Nexus does not have o, as far as we know. Caller holds mu.
func (p *Publisher) failed(s *slot, o *offer, a answer, now time.Time, out *outcome) {
	v := a.verdict()
	s.err = a.err
	if v == refused || v == gone || v == patience {
		s.shift++
	}
	if v == gone {
		o.gone++
	}
	next := o.after(v, now)
	if o != s.newest && next != nextReplica {
		// Whatever was to become of o, a newer record is there to be sent.
		next = retry
	}
	switch next {
	case nextReplica:
		p.stats.Retried++
		out.again = true
		return
	case retry:
		p.stats.Retried++
		p.noteRefusal(s, o, a, out)
	case drop:
		p.settle(s)
		p.noteDropped(s, o, a, out)
	case giveUp:
		p.giveUp(s, a.err, out)
	}
	p.backOff(s, now)
}

// giveUp ends the offer of s's terminal record. Caller holds mu.
func (p *Publisher) giveUp(s *slot, err error, out *outcome) {
	o := s.newest
	p.stats.GaveUp++
	p.settle(s)
	p.noteGaveUp(s, o, err, out)
	out.notify = o.notify
	out.result = Result{Gen: o.gen, GaveUp: true, Err: err, Attempts: o.attempts}
}

// settle: s's newest record is not sent again. Caller holds mu.
func (p *Publisher) settle(s *slot) {
	s.newest.settled, s.newest.body = true, nil
	p.unlist(s)
}

// backOff makes the next round of s wait. Caller holds mu.
func (p *Publisher) backOff(s *slot, now time.Time) {
	if s.retry == nil {
		s.retry = p.newBackOff()
	}
	s.notBefore = now.Add(min(s.retry.NextBackOff(), p.cfg.RetryMax))
}

// newBackOff returns pauses that double from RetryInitial and end up between a
// third of RetryMax and RetryMax: however long the outage, VMMs keep coming back
// at different times.
func (p *Publisher) newBackOff() backoff.BackOff {
	const spread = 0.5
	top := time.Duration(float64(p.cfg.RetryMax) / (1 + spread))
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(p.cfg.RetryInitial, top)),
		backoff.WithMaxInterval(top),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(spread),
		backoff.WithMaxElapsedTime(0),
	)
}

// A step is what follows a failed try.
type step int

const (
	nextReplica step = iota
	retry            // after a pause
	drop             // a newer record will come
	giveUp           // and say so
)

// after decides what follows when o was answered with v, which is not acked.
func (o *offer) after(v verdict, now time.Time) step {
	switch {
	case o.expired(now), o.terminal() && o.gone >= maxGone:
		return giveUp
	case !o.terminal() && (v == gone || v == refused):
		return drop
	case v == silent, v == broken:
		return nextReplica
	default:
		return retry
	}
}
