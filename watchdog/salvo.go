package watchdog

import (
	"context"
	"sync/atomic"
	"time"
)

// salvoBound is how long a removal stands back for those that began with it. A
// kill costs well below a millisecond; what takes longer hangs, and is not
// waited for.
const salvoBound = 50 * time.Millisecond

// aimBound is how long a removal waits, before it kills, for those that begin
// with it. To begin costs microseconds.
const aimBound = 10 * time.Millisecond

// A Salvo is the removals whose deadlines passed at the same moment. They kill
// together: whoever dies takes the processor from those that have yet to kill,
// and so does the cleaning up afterwards. So each waits until all are there,
// kills, and waits again until all have killed. Its methods are safe for
// concurrent use; those of a nil Salvo do nothing.
type Salvo struct{ aimed, shot rendezvous }

func newSalvo(n int) *Salvo {
	s := &Salvo{}
	s.aimed.expect(n)
	s.shot.expect(n)
	return s
}

// Aim says that one removal is about to kill, and returns when all are, after a
// bound, or with ctx. It is called once for each removal.
func (s *Salvo) Aim(ctx context.Context) {
	if s != nil {
		s.aimed.arrive()
		s.aimed.wait(ctx, aimBound)
	}
}

// Shot says that one removal has killed. It is called once for each removal.
func (s *Salvo) Shot() {
	if s != nil {
		s.shot.arrive()
	}
}

// Wait returns when all have killed, after a bound, or with ctx.
func (s *Salvo) Wait(ctx context.Context) {
	if s != nil {
		s.shot.wait(ctx, salvoBound)
	}
}

// rendezvous is where so many have to arrive.
type rendezvous struct {
	left atomic.Int64
	all  chan struct{}
}

func (r *rendezvous) expect(n int) {
	r.left.Store(int64(n))
	r.all = make(chan struct{})
}

func (r *rendezvous) arrive() {
	if r.left.Add(-1) == 0 {
		close(r.all)
	}
}

// wait returns when all have arrived, after a bound, or with ctx.
func (r *rendezvous) wait(ctx context.Context, bound time.Duration) {
	select {
	case <-r.all:
		return
	default:
	}
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-r.all:
	case <-timer.C:
	case <-ctx.Done():
	}
}
