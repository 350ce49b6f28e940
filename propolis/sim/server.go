package sim

import (
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
)

// NewestVersion is the default of Options.Newest.
const NewestVersion = server.NewestVersion

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

// A Server is a simulated Propolis server. Its methods are safe for concurrent use. What
// takes time is a timer; its goroutines are those of its calls.
type Server struct {
	api     *server.Server
	times   Times
	process Process
	log     zerolog.Logger

	// Guarded by the lock of api.
	faults   Faults
	changed  chan struct{}           // closed when the faults change
	refused  [server.NumCalls]int    // how often with the current faults
	counts   [server.NumCalls]uint64 // of received calls
	monitors int                     // pending calls of the monitor
	machine  *machine                // nil if there is none
	timers   []*time.Timer           // of timed actions that do not depend on the guest
	guest    []*time.Timer           // of those that do
}

// New returns a simulator without a VM. The caller must Close it.
func New(o Options) *Server {
	s := &Server{times: o.Times, process: o.Process, log: o.Log, changed: make(chan struct{})}
	s.api = server.New(server.Options{Make: s.make, Newest: o.Newest, Interceptor: interceptor{s}, Log: o.Log})
	s.SetFaults(o.Faults)
	return s
}

// Handler serves the Propolis API and, below /sim/, the simulator's own. Some faults abort
// the response by a panic with http.ErrAbortHandler, which net/http's server handles.
func (s *Server) Handler() http.Handler {
	api := s.api.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, err := dropshot.Split(r.URL); err == nil && len(path) > 0 && path[0] == "sim" {
			s.control(w, r, path[1:])
			return
		}
		api.ServeHTTP(w, r)
	})
}

// Close ends every timer and every pending request, whose connection it closes. It does not
// wait for their goroutines.
func (s *Server) Close() {
	s.api.Close()
	s.api.Enter(func() {
		stopAll(&s.timers)
		stopAll(&s.guest)
	})
}

// SetFaults replaces all faults. A call that hangs by a fault continues under the new
// ones, and so does a VM held in a state. Timed faults start now or, if they are the
// guest's, when it starts to run.
func (s *Server) SetFaults(f Faults) {
	s.api.Enter(func() {
		if s.closed() {
			f.escape = 0
			return
		}
		s.faults, s.refused = f, [server.NumCalls]int{}
		s.api.SetDefects(f.defects)
		close(s.changed)
		s.changed = make(chan struct{})
		s.arm(&s.timers, false)
		stopAll(&s.guest)
		if m := s.machine; m != nil {
			if m.vm.View().State == server.Running {
				s.arm(&s.guest, true)
			}
			m.advance()
		}
	})
	if f.escape > 0 {
		s.escape(f.escape)
	}
}

// Faults returns the faults in force.
func (s *Server) Faults() (f Faults) {
	s.api.Enter(func() { f = s.faults })
	return f
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

// closed reports whether timers must not be started any more.
func (s *Server) closed() bool { return s.api.Context().Err() != nil }
