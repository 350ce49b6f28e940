package proc

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// readLimit bounds the wait for a process's arguments or environment. They are read
// from its memory: the reader may wait in the kernel as long as the process itself
// does, for example for a disk that does not answer.
const readLimit = time.Second

// boundedReads bounds the wait for reads that do not return, and their number, since
// each holds a thread.
type boundedReads struct {
	limit time.Duration

	mu      sync.Mutex
	pending map[string]*pendingRead // by path, the newest
}

type pendingRead struct {
	begun time.Time
	done  chan struct{}
	data  []byte
	err   error
}

var reads = boundedReads{limit: readLimit, pending: make(map[string]*pendingRead)}

// readFile is os.ReadFile with a limit. Its error is ErrHidden after that limit, or at
// once while an earlier read of the path has exceeded it and has not returned.
func (p *boundedReads) readFile(path string) ([]byte, error) {
	r := &pendingRead{begun: time.Now(), done: make(chan struct{})}
	p.mu.Lock()
	if earlier := p.pending[path]; earlier != nil && time.Since(earlier.begun) > p.limit {
		p.mu.Unlock()
		return nil, p.tooLong(path)
	}
	p.pending[path] = r
	p.mu.Unlock()
	go func() {
		r.data, r.err = os.ReadFile(path)
		p.mu.Lock()
		if p.pending[path] == r {
			delete(p.pending, path)
		}
		p.mu.Unlock()
		close(r.done)
	}()
	timer := time.NewTimer(p.limit)
	defer timer.Stop()
	select {
	case <-r.done:
		return r.data, r.err
	case <-timer.C:
		return nil, p.tooLong(path)
	}
}

func (p *boundedReads) tooLong(path string) error {
	return fmt.Errorf("%w: read of %s takes longer than %v", ErrHidden, path, p.limit)
}
