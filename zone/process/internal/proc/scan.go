package proc

import "sync"

// A scan is one look at all processes, for everybody who asked before it began.
type scan struct {
	done  chan struct{}
	infos []Info
	err   error
}

// scans lets callers that come at once share a scan: when many zones are killed
// at the same moment, each would else read all of the others' processes.
var scans struct {
	mu      sync.Mutex
	running bool
	next    *scan // nil if nobody waits
}

// All looks at every process that this one may see, no earlier than the call.
// Those that end meanwhile may be missing. Callers share the result and must
// not change it.
func All() ([]Info, error) {
	scans.mu.Lock()
	s := scans.next
	if s == nil {
		s = &scan{done: make(chan struct{})}
		scans.next = s
	}
	if !scans.running {
		scans.running = true
		go runScans()
	}
	scans.mu.Unlock()
	<-s.done
	return s.infos, s.err
}

// runScans scans until nobody waits. There is one at a time.
func runScans() {
	for {
		scans.mu.Lock()
		s := scans.next
		scans.next = nil
		scans.running = s != nil
		scans.mu.Unlock()
		if s == nil {
			return
		}
		s.infos, s.err = list()
		close(s.done)
	}
}
