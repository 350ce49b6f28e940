package sim

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options say how a simulator behaves. The zero value is a server without
// faults that speaks NewestVersion and takes no time for anything.
type Options struct {
	Faults Faults
	Times  Times
	// Newest is the newest API version served; requests for a newer one are
	// refused. The zero value is NewestVersion.
	Newest Version
	// Process is what the simulator may do to the process it runs in; nil for
	// nothing, in which case faults that want it are logged and else ignored.
	Process Process
	// Log gets what happens, as it happens. The zero value logs nothing.
	Log zerolog.Logger
}

// A Process is the process that a simulator runs in, for the faults that no
// program can survive. Its methods may not return.
type Process interface {
	// Crash ends the process as if it had been killed.
	Crash()
	// Exit ends the process with status 1.
	Exit()
	// Freeze stops the process until it gets SIGCONT.
	Freeze()
	// Escape starts a process that is no longer this one's child, is in a
	// session of its own, ignores SIGTERM, and ends by itself after life.
	Escape(life time.Duration) error
}

// A Server is one simulated Propolis server. Its methods are safe for
// concurrent use. It has no goroutines of its own: requests run in their
// caller's, and all that takes time is a timer.
type Server struct {
	times   Times
	newest  Version
	process Process
	log     zerolog.Logger
	life    context.Context // ends with Close
	end     context.CancelFunc

	mu      sync.Mutex
	faults  *faultSet
	changed chan struct{} // closed when the faults change; nil while nobody waits
	refused [numCalls]int // how often, under these faults
	counts  [numCalls]uint64
	vm      *vm
	timers  []*time.Timer // of timed actions that do not need a guest
	guest   []*time.Timer // of those that do
	out     []func()      // what to do once the mutex is free
}

// New returns a simulator without a VM. Whoever made it must Close it.
func New(o Options) *Server {
	if o.Newest == (Version{}) {
		o.Newest = Version{number: [3]uint64{6, 0, 0}, text: NewestVersion}
	}
	s := &Server{times: o.Times, newest: o.Newest, process: o.Process, log: o.Log, faults: noFaults}
	s.life, s.end = context.WithCancel(context.Background())
	s.SetFaults(o.Faults)
	return s
}

// Handler serves the Propolis API and, below /sim/, the simulator's own.
// Some faults break off the response by a panic with http.ErrAbortHandler,
// which net/http's server understands.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends every timer and every request that waits, by closing its
// connection. It does not wait for their goroutines to end.
func (s *Server) Close() {
	s.lock()
	defer s.unlock()
	if s.vm != nil {
		s.vm.cancel()
	}
	stopAll(&s.timers)
	stopAll(&s.guest)
	s.end()
}

// SetFaults replaces all faults. A call that hangs by a fault is taken up again
// by the new ones, a VM held in a state goes on, and timed faults count from now
// on or, if they are the guest's, from when it begins to run.
func (s *Server) SetFaults(f Faults) {
	s.lock()
	defer s.unlock()
	if s.closed() {
		return
	}
	s.faults, s.refused = f.get(), [numCalls]int{}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	stopAll(&s.timers)
	s.arm(&s.timers, false)
	stopAll(&s.guest)
	if s.vm != nil {
		if s.vm.view.State == Running {
			s.armGuestTimers()
		}
		s.vm.advance()
	}
	if life := s.faults.escape; life > 0 {
		s.later(func() { s.escape(life) })
	}
}

// Faults returns the faults in force.
func (s *Server) Faults() Faults {
	s.lock()
	defer s.unlock()
	return Faults{s.faults}
}

// armGuestTimers begins to count for what the guest is to do by itself.
func (s *Server) armGuestTimers() {
	stopAll(&s.guest)
	s.arm(&s.guest, true)
}

func (s *Server) arm(timers *[]*time.Timer, guest bool) {
	for _, t := range s.faults.timed {
		if t.guest == guest && !s.closed() {
			*timers = append(*timers, time.AfterFunc(t.after, func() { s.doTimed(t.action) }))
		}
	}
}

func (s *Server) doTimed(action string) {
	if err := s.Do(action); err != nil {
		s.log.Warn().Err(err).Str("action", action).Msg("timed fault had no effect")
	}
}

func stopAll(timers *[]*time.Timer) {
	for _, t := range *timers {
		t.Stop()
	}
	*timers = nil
}

// closed tells whether no timer may be started any more. The lock must be held.
func (s *Server) closed() bool { return s.life.Err() != nil }

func (s *Server) lock() { s.mu.Lock() }

// unlock frees the mutex and then does what must not be done under it: logging
// and whatever ends the process.
func (s *Server) unlock() {
	out := s.out
	s.out = nil
	s.mu.Unlock()
	for _, do := range out {
		do()
	}
}

func (s *Server) later(do func()) { s.out = append(s.out, do) }

func (s *Server) noteState(v View) {
	s.later(func() { s.log.Info().Str("state", string(v.State)).Uint64("gen", v.Gen).Msg("VM changed") })
}
