package publish

import "container/list"

// A queue holds the rounds that wait for a place, of *waiter: those with the end of a VMM, and
// others. Each is first in, first out. Of four places that become free, one goes to the others
// first.
type queue struct {
	ends, others list.List
	given        int // places
}

func (q *queue) of(r *round) *list.List {
	if r.end {
		return &q.ends
	}
	return &q.others
}

func (q *queue) len() int { return q.ends.Len() + q.others.Len() }

// order returns the lists in the order of the next place.
func (q *queue) order() [2]*list.List {
	if q.given%4 == 3 {
		return [2]*list.List{&q.others, &q.ends}
	}
	return [2]*list.List{&q.ends, &q.others}
}

// A waiter is a round that waits for a place.
type waiter struct {
	round *round
	place chan *peer // capacity 1; receives nil if no peer is left
}
