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

// A Salvo is the removals whose deadlines passed at the same moment. Each kills
// first and then stands back until the others have killed too, so that with a
// thousand due at once the last kill does not wait for the first one's cleaning
// up. Its methods are safe for concurrent use; those of a nil Salvo do nothing.
type Salvo struct {
	left atomic.Int64
	all  chan struct{}
}

func newSalvo(n int) *Salvo {
	s := &Salvo{all: make(chan struct{})}
	s.left.Store(int64(n))
	return s
}

// Shot says that one removal has killed. It is called once for each.
func (s *Salvo) Shot() {
	if s != nil && s.left.Add(-1) == 0 {
		close(s.all)
	}
}

// Wait returns when all have killed, after a bound, or with ctx.
func (s *Salvo) Wait(ctx context.Context) {
	if s == nil {
		return
	}
	select {
	case <-s.all:
		return
	default:
	}
	timer := time.NewTimer(salvoBound)
	defer timer.Stop()
	select {
	case <-s.all:
	case <-timer.C:
	case <-ctx.Done():
	}
}
