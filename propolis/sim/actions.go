package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Errors of Do that callers branch on.
var (
	// ErrNoSuchAction: the table of actions has none of that name.
	ErrNoSuchAction = errors.New("no such action")
	// ErrNotNow: the VM is in no state in which this could happen.
	ErrNotNow = errors.New("not in this state")
)

// An Action is one row of the table of what can be done to a simulator, for people.
type Action struct{ Name, Does string }

// An action changes the VM under the mutex, or returns what to do to the
// process without it.
type action struct {
	name, does string
	run        func(s *Server, value string) (after func(), err error)
}

// actionTable is a function because what actions do may, by a timed fault, lead
// to the next action.
func actionTable() []action {
	return []action{
		{"guest-poweroff", "the guest powers itself off", onGuest((Times).halt)},
		{"guest-reboot", "the guest reboots itself", onGuest((Times).restart)},
		{"fail", "the VM fails", (*Server).failVM},
		{"lose-vm", "the VM is gone, as after a restart of the server", (*Server).loseVM},
		{"migrate-out", "the guest leaves for another server; takes the migration's id (migrate-out=UUID)", (*Server).migrateVM},
		{"crash", "the process kills itself", onProcess(Process.Crash)},
		{"exit", "the process exits with status 1", onProcess(Process.Exit)},
		{"freeze", "the process stops itself (SIGSTOP)", onProcess(Process.Freeze)},
	}
}

// Actions returns the table of what Do can do.
func Actions() []Action {
	var table []Action
	for _, a := range actionTable() {
		table = append(table, Action{a.name, a.does})
	}
	return table
}

// Do makes something happen now: an action of the table, with its value behind
// a "=" if it takes one. Its errors are ErrNoSuchAction, ErrNotNow and those
// about the value.
func (s *Server) Do(action string) error {
	after, err := s.prepare(action)
	if err == nil && after != nil {
		after()
	}
	return err
}

// prepare does an action but for what may end the process, which it returns.
func (s *Server) prepare(text string) (after func(), err error) {
	name, value, _ := strings.Cut(text, "=")
	actions := actionTable()
	i := slices.IndexFunc(actions, func(a action) bool { return a.name == name })
	if i < 0 {
		return nil, fmt.Errorf("do %q: %w", name, ErrNoSuchAction)
	}
	s.lock()
	defer s.unlock()
	if s.closed() {
		return nil, fmt.Errorf("do %q: simulator is closed: %w", name, ErrNotNow)
	}
	after, err = actions[i].run(s, value)
	if err != nil {
		return nil, fmt.Errorf("do %q: %w", name, err)
	}
	s.later(func() { s.log.Info().Str("action", name).Msg("action done") })
	return after, nil
}

// onGuest is something the guest does by itself; it must run and not be busy.
func onGuest(script func(Times) []step) func(*Server, string) (func(), error) {
	return func(s *Server, _ string) (func(), error) {
		v := s.vm
		if v == nil || v.view.State != Running || len(v.script) > 0 {
			return nil, ErrNotNow
		}
		v.script = script(s.times)
		v.advance()
		return nil, nil
	}
}

func (s *Server) failVM(string) (func(), error) {
	if s.vm == nil || s.vm.life == ended {
		return nil, ErrNotNow
	}
	s.vm.unmade = s.vm.life == initialising
	s.vm.interrupt([]step{{then: (*vm).ends, state: Failed}})
	return nil, nil
}

func (s *Server) loseVM(string) (func(), error) {
	if s.vm == nil {
		return nil, ErrNotNow
	}
	s.vm.leave()
	s.vm = nil
	stopAll(&s.guest)
	return nil, nil
}

func (s *Server) migrateVM(value string) (func(), error) {
	migration := uuid.New()
	if value != "" {
		var err error
		if migration, err = uuid.Parse(value); err != nil {
			return nil, fmt.Errorf("migration id %q: %w", value, err)
		}
	}
	v := s.vm
	if v == nil || v.life != active || !rule(v.standing, v.rebootQueued, migrateOut).queue {
		return nil, ErrNotNow
	}
	v.outID = migration
	v.ask(migrateOut)
	return nil, nil
}

func onProcess(deed func(Process)) func(*Server, string) (func(), error) {
	return func(s *Server, _ string) (func(), error) {
		return func() { s.perform(deed) }, nil
	}
}

// perform does something to the process. No lock may be held.
func (s *Server) perform(deed func(Process)) {
	if s.process == nil {
		s.log.Warn().Msg("fault needs a process of its own and has no effect")
		return
	}
	deed(s.process)
}

func (s *Server) escape(life time.Duration) {
	s.perform(func(p Process) {
		if err := p.Escape(life); err != nil {
			s.log.Error().Err(err).Msg("escape did not work")
		}
	})
}
