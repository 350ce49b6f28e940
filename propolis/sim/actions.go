package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// Errors of Do that callers may test for.
var (
	// ErrNoSuchAction: the action is unknown.
	ErrNoSuchAction = errors.New("no such action")
	// ErrNotNow: the action is impossible in the VM's state.
	ErrNotNow = errors.New("not in this state")
)

// An Action is something that can be done to a simulator.
type Action struct {
	Name, Does string
	// run changes the VM, with the lock held. It may return a change of the process, to
	// be made without the lock.
	run func(s *Server, value string) (after func(), err error)
}

// Actions returns the table of actions. It is a function because an action may, by a
// timed fault, lead to another action.
func Actions() []Action {
	return []Action{
		{"guest-poweroff", "the guest powers itself off", onGuest((Times).halt)},
		{"guest-reboot", "the guest reboots itself", onGuest((Times).restart)},
		{"fail", "the VM fails", (*Server).failVM},
		{"lose-vm", "the VM is gone, as after a restart of the server", (*Server).loseVM},
		{"fall-back", "the server forgets the VM's state and reports another one in generation 1 (fall-back=STATE, Destroyed if not " +
			"given); monitors that wait for a newer one go on waiting", (*Server).fallBack},
		{"migrate-out", "the guest leaves for another server; takes the migration's id (migrate-out=UUID)", (*Server).migrateVM},
		{"crash", "the process kills itself", onProcess(Process.Crash)},
		{"exit", "the process exits with status 1", onProcess(Process.Exit)},
		{"freeze", "the process stops itself (SIGSTOP)", onProcess(Process.Freeze)},
	}
}

// Do performs an action of the table now, written with "=" and a value if it takes one.
// Its errors are ErrNoSuchAction, ErrNotNow and errors about the value.
func (s *Server) Do(action string) error {
	after, err := s.prepare(action)
	if err == nil && after != nil {
		after()
	}
	return err
}

// prepare performs an action, except for what may end the process, which it returns.
func (s *Server) prepare(text string) (after func(), err error) {
	name, value, _ := strings.Cut(text, "=")
	actions := Actions()
	i := slices.IndexFunc(actions, func(a Action) bool { return a.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("do %q: %w", name, ErrNoSuchAction)
	}
	s.api.Enter(func() {
		if s.closed() {
			err = fmt.Errorf("simulator is closed: %w", ErrNotNow)
			return
		}
		after, err = actions[i].run(s, value)
	})
	if err != nil {
		return nil, fmt.Errorf("do %q: %w", name, err)
	}
	s.log.Info().Str("action", name).Msg("action done")
	return after, nil
}

// onGuest is something that a running and idle guest does by itself.
func onGuest(script func(Times) []step) func(*Server, string) (func(), error) {
	return func(s *Server, _ string) (func(), error) {
		m := s.machine
		if m == nil || m.vm.View().State != server.Running || len(m.script) > 0 {
			return nil, ErrNotNow
		}
		m.vm.Begins()
		m.play(script(s.times))
		return nil, nil
	}
}

func (s *Server) failVM(string) (func(), error) {
	if s.machine == nil || s.machine.vm.Ended() {
		return nil, ErrNotNow
	}
	s.machine.vm.Begins()
	s.machine.play([]step{{0, ends(server.Failed)}})
	return nil, nil
}

func (s *Server) loseVM(string) (func(), error) {
	if s.machine == nil {
		return nil, ErrNotNow
	}
	s.api.Lose()
	s.machine = nil
	stopAll(&s.guest)
	return nil, nil
}

// fallBack discards published states without waking any monitor.
func (s *Server) fallBack(value string) (func(), error) {
	value = cmp.Or(value, "destroyed")
	if !slices.Contains(enterable, value) {
		return nil, fmt.Errorf("there is no state %q to fall back to", value)
	}
	m := s.machine
	if m == nil || m.vm.View().Gen < 2 {
		return nil, ErrNotNow
	}
	m.play(nil)
	m.vm.Forget(stateOf(value))
	stopAll(&s.guest)
	return nil, nil
}

func (s *Server) migrateVM(value string) (func(), error) {
	migration, err := uuid.Parse(cmp.Or(value, uuid.NewString()))
	if err != nil {
		return nil, fmt.Errorf("migration id %q: %w", value, err)
	}
	if s.machine == nil || !s.machine.vm.MigrateOut(migration) {
		return nil, ErrNotNow
	}
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

func (s *Server) escape(lifetime time.Duration) {
	s.perform(func(p Process) {
		if err := p.Escape(lifetime); err != nil {
			s.log.Error().Err(err).Msg("escape did not work")
		}
	})
}
