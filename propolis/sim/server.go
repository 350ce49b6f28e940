package sim

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// NewestVersion is the default of Options.Newest.
const NewestVersion = "6.0.0"

// Options configure a simulator. The zero value has no faults, serves NewestVersion, and
// does everything at once.
type Options struct {
	Faults Faults
	Times  Times
	// Newest is the newest API version served; requests for newer ones are refused. The
	// zero value means NewestVersion.
	Newest dropshot.Version
	// Process is used by faults of the process. If it is nil these faults are logged and
	// have no effect.
	Process Process
	// Log receives events. The zero value logs nothing.
	Log zerolog.Logger
}

// A Process is the process of a simulator, for faults that end or stop it. Its methods may
// not return.
type Process interface {
	// Crash ends the process as if it had been killed.
	Crash()
	// Exit ends the process with status 1.
	Exit()
	// Freeze stops the process until it receives SIGCONT.
	Freeze()
	// Escape starts a process in a session of its own that is no longer a child, ignores
	// SIGTERM, and ends after lifetime.
	Escape(lifetime time.Duration) error
}

// A Server is a simulated Propolis server. Its methods are safe for concurrent use. Its
// goroutines are those of its calls, which end when they are done, not when their clients
// disconnect. Everything else that takes time is a timer.
type Server struct {
	times   Times
	newest  dropshot.Version
	process Process
	log     zerolog.Logger
	ctx     context.Context // ends with Close
	end     context.CancelFunc

	mu       sync.Mutex
	faults   Faults
	changed  chan struct{} // closed when the faults or the VM change; nil if not in use
	refused  [numCalls]int // how often with the current faults
	counts   [numCalls]uint64
	monitors int // pending calls of the monitor
	vm       *vm
	timers   []*time.Timer // of timed actions that do not depend on the guest
	guest    []*time.Timer // of those that do
	out      []func()      // to be called after the mutex is released
}

// New returns a simulator without a VM. The caller must Close it.
func New(o Options) *Server {
	api() // Loads the document before the first request.
	if o.Newest == (dropshot.Version{}) {
		o.Newest = dropshot.Version{6}
	}
	s := &Server{times: o.Times, newest: o.Newest, process: o.Process, log: o.Log}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.SetFaults(o.Faults)
	return s
}

// Handler serves the Propolis API and, below /sim/, the simulator's own. Some faults abort
// the response by a panic with http.ErrAbortHandler, which net/http's server handles.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends every timer and every pending request, whose connection it closes. It does not
// wait for their goroutines.
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

// SetFaults replaces all faults. A call that hangs by a fault continues under the new
// ones, and so does a VM held in a state. Timed faults start now or, if they are the
// guest's, when it starts to run.
func (s *Server) SetFaults(f Faults) {
	s.lock()
	defer s.unlock()
	if s.closed() {
		return
	}
	s.faults, s.refused = f, [numCalls]int{}
	s.wake()
	s.arm(&s.timers, false)
	stopAll(&s.guest)
	if s.vm != nil {
		if s.vm.view.State == Running {
			s.arm(&s.guest, true)
		}
		s.vm.advance()
	}
	if lifetime := s.faults.escape; lifetime > 0 {
		s.later(func() { s.escape(lifetime) })
	}
}

// Faults returns the faults in force.
func (s *Server) Faults() Faults {
	s.lock()
	defer s.unlock()
	return s.faults
}

// arm starts the timers of timed actions, either those of the guest or the others.
func (s *Server) arm(timers *[]*time.Timer, guest bool) {
	stopAll(timers)
	for _, t := range s.faults.timed {
		if t.guest == guest && !s.closed() {
			*timers = append(*timers, time.AfterFunc(t.after, func() {
				if err := s.Do(t.action); err != nil {
					s.log.Warn().Err(err).Str("action", t.action).Msg("timed fault had no effect")
				}
			}))
		}
	}
}

func stopAll(timers *[]*time.Timer) {
	for _, t := range *timers {
		t.Stop()
	}
	*timers = nil
}

// closed reports whether timers must not be started any more. The lock must be held.
func (s *Server) closed() bool { return s.ctx.Err() != nil }

func (s *Server) lock() { s.mu.Lock() }

// unlock releases the mutex and then runs what must not happen under it: logging and
// whatever ends the process.
func (s *Server) unlock() {
	out := s.out
	s.out = nil
	s.mu.Unlock()
	for _, do := range out {
		do()
	}
}

// wait returns a channel that is closed at the next change of the faults or the VM.
func (s *Server) wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *Server) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Server) later(do func()) { s.out = append(s.out, do) }

func (s *Server) noteState(v View) {
	s.later(func() { s.log.Info().Str("state", string(v.State)).Uint64("gen", v.Gen).Msg("VM changed") })
}
