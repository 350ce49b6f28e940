package publish

import (
	"strings"
	"time"
)

// logGap is the least time between two log lines about one replica, so that
// one which flaps fills no log.
const logGap = 10 * time.Second

// A replica is one instance of Nexus.
type replica struct {
	base string
	// shunned: the replica gave no answer lately, and rounds that have another
	// one to turn to leave it alone until then.
	shunned time.Time
	// logged is the trouble that was logged last ("" is none), loggedAt when.
	logged   string
	loggedAt time.Time
}

// replicas chooses whom to ask. Guarded by Publisher.mu.
type replicas struct {
	all []replica
	// prefer is where rounds begin: the replica that answered well last.
	prefer int
}

func newReplicas(addresses []string) replicas {
	all := make([]replica, len(addresses))
	for i, a := range addresses {
		all[i].base = strings.TrimRight(a, "/")
	}
	return replicas{all: all}
}

// A round is one attempt to have a record acknowledged, by each replica in turn.
type round struct {
	tried []bool
	// well: a replica that was not shunned has been asked.
	well bool
}

// next chooses the replica to ask next in round r, beginning shift places
// after the preferred one; false when the round is over.
//
// A replica that hangs costs a whole RequestTimeout, during which its round
// keeps a place from other VMMs. So only one round a shun asks it, and others
// do only when they have nobody else.
func (rs *replicas) next(r *round, shift int, now time.Time, shun time.Duration) (int, bool) {
	n := len(rs.all)
	if r.tried == nil {
		r.tried = make([]bool, n)
	}
	pick := -1
	for k := range n {
		i := (rs.prefer + shift + k) % n
		if r.tried[i] {
			continue
		}
		if !now.Before(rs.all[i].shunned) {
			r.well = true
			pick = i
			break
		}
		if pick < 0 && !r.well {
			pick = i
		}
	}
	if pick < 0 {
		return 0, false
	}
	r.tried[pick] = true
	if rs.all[pick].shunned != (time.Time{}) {
		rs.all[pick].shunned = now.Add(shun)
	}
	return pick, true
}

// answered takes note of how replica i answered.
func (rs *replicas) answered(i int, v verdict, now time.Time, shun time.Duration) {
	r := &rs.all[i]
	r.shunned = time.Time{}
	switch v {
	case acked:
		rs.prefer = i
	case silent:
		r.shunned = now.Add(shun)
		rs.passOver(i)
	case broken, odd:
		rs.passOver(i)
	}
}

func (rs *replicas) passOver(i int) {
	if rs.prefer == i {
		rs.prefer = (i + 1) % len(rs.all)
	}
}

// news tells whether trouble is to be logged: it is another than was logged
// last, and that was not a moment ago.
func (r *replica) news(trouble string, now time.Time) bool {
	if trouble == r.logged || !r.loggedAt.IsZero() && now.Sub(r.loggedAt) < logGap {
		return false
	}
	r.logged, r.loggedAt = trouble, now
	return true
}
