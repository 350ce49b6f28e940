package server

import (
	"context"
	"net/http"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// NewestVersion is the default of Options.Newest.
const NewestVersion = "6.0.0"

// Options configure a Server.
type Options struct {
	// Make returns the Machine of a new VM. It is called with the lock held, and then the
	// Machine's Make.
	Make func(*VM) Machine
	// Check returns an error if no Machine can be made of a valid spec; then no VM is made. It
	// may block shortly. nil accepts every spec.
	Check func(*Ensured) error
	// Newest is the newest API version served; requests for newer ones are refused. The
	// zero value means NewestVersion.
	Newest dropshot.Version
	// Interceptor is for a simulator's faults. The zero value serves truly.
	Interceptor Interceptor
	// Log receives events. The zero value logs nothing.
	Log zerolog.Logger
}

// A Server is a Propolis server. Its methods are safe for concurrent use. Its goroutines are
// those of its calls, which end when they are done, not when their clients disconnect.
type Server struct {
	make        func(*VM) Machine
	check       func(*Ensured) error
	newest      dropshot.Version
	interceptor Interceptor
	log         zerolog.Logger
	ctx         context.Context // ends with Close
	end         context.CancelFunc

	consoles chan struct{} // has one for each connection to a console

	mu      sync.Mutex
	defects Defects
	changed chan struct{} // closed when the VM changes; nil if not in use
	vm      *VM
	out     []func() // to be called after the mutex is released
}

// New returns a server without a VM. The caller must Close it.
func New(o Options) *Server {
	api() // Loads the document before the first request.
	if o.Newest == (dropshot.Version{}) {
		o.Newest = dropshot.Version{6}
	}
	if o.Check == nil {
		o.Check = func(*Ensured) error { return nil }
	}
	if o.Interceptor == nil {
		o.Interceptor = truly{}
	}
	s := &Server{make: o.Make, check: o.Check, newest: o.Newest, interceptor: o.Interceptor, log: o.Log,
		consoles: make(chan struct{}, maxConsoles)}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Handler serves the API. It closes a connection in place of an answer by a panic with
// http.ErrAbortHandler, which net/http's server handles.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Context ends with Close.
func (s *Server) Context() context.Context { return s.ctx }

// Close closes the Machine and ends every pending request, whose connection it closes. It
// does not wait for their goroutines.
func (s *Server) Close() {
	s.Enter(func() {
		if s.closed() {
			return
		}
		s.end()
		if s.vm != nil {
			s.vm.close()
		}
	})
}

// Enter calls do with the lock held, and then goes on with the VM's queue.
func (s *Server) Enter(do func()) {
	s.lock()
	defer s.unlock()
	do()
	if s.vm != nil {
		s.vm.advance()
	}
}

// closed reports whether nothing must be begun any more.
func (s *Server) closed() bool { return s.ctx.Err() != nil }

func (s *Server) lock() { s.mu.Lock() }

// unlock releases the mutex and then runs what must not happen under it, such as logging.
func (s *Server) unlock() {
	out := s.out
	s.out = nil
	s.mu.Unlock()
	for _, do := range out {
		do()
	}
}

// wait returns a channel that is closed at the next change of the VM.
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
