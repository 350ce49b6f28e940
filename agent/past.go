package agent

import (
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxPast is how many VMMs that are forgotten can still be asked about.
const maxPast = 256

// past is the last words of VMMs that Nexus knows the end of: of no use to the
// agent, and all there is for whoever asks what became of one. It is safe for
// concurrent use.
type past struct {
	mu  sync.Mutex
	all []vmm.Status // the latest last
}

func (p *past) add(s vmm.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == maxPast {
		p.all = slices.Delete(p.all, 0, 1)
	}
	p.all = append(p.all, s)
}

func (p *past) find(id uuid.UUID) (vmm.Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range slices.Backward(p.all) {
		if s.ID == id {
			return s, true
		}
	}
	return vmm.Status{}, false
}
