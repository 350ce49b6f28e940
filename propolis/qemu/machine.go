package qemu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/sledagent/sledagent/propolis/server"
)

const (
	// makeBudget is how long QEMU may take until it answers. It opens the disks before.
	makeBudget = 30 * time.Second
	// commandBudget bounds each command. QEMU answers at once, unless it is stopped.
	commandBudget = 10 * time.Second
	// quitBudget is how long QEMU may take to end by itself. Then it is killed.
	quitBudget = 3 * time.Second
	// settle is how long Rebooting lasts. QEMU reports one reset of a guest as several, and the
	// firmware makes another one.
	settle = time.Second
	// eventsPerSecond and eventBurst bound how many events are logged.
	eventsPerSecond = 1
	eventBurst      = 100
	// maxLastConsole is how much of the console's end is logged with a failure, in bytes.
	maxLastConsole = 2 << 10
)

// A doing is what a machine does, for which the queue of the VM waits.
type doing uint8

const (
	idle doing = iota
	starting
	rebooting
	stopping
	leaving
	arriving
)

// A machine is a VM with one QEMU. The server's lock guards it.
type machine struct {
	host *Host
	vm   *server.VM
	log  zerolog.Logger
	// events bounds the log of QEMU's events, which a guest can cause.
	events  *rate.Limiter
	console *console
	// keeper is nil before there is a QEMU.
	keeper *keeper
	// ctx ends with Close or a failure. QEMU is killed then.
	ctx context.Context
	end context.CancelFunc

	qmp   *qmpClient // nil until it has answered
	child *child     // nil like qmp
	doing doing
	ended bool
	// disks are set before Made, and files, which identify theirs. jobs are the snapshots that are
	// being taken.
	disks map[string]disk
	files map[string]string
	jobs  map[string]chan<- error
	// settling: a reset has happened just now. halted: the guest has powered itself off since.
	settling, halted bool
	// departure and arrival are the migration that goes on. away: the guest has gone to another
	// server.
	departure *departure
	arrival   *arrival
	away      bool
}

func newMachine(h *Host, vm *server.VM) *machine {
	ctx, end := context.WithCancel(context.Background())
	m := &machine{host: h, vm: vm, log: h.log, console: newConsole(), ctx: ctx, end: end,
		jobs: map[string]chan<- error{}, events: rate.NewLimiter(eventsPerSecond, eventBurst)}
	if vm.Ensured().Target {
		m.doing = arriving
	}
	return m
}

// Make implements server.Machine.
func (m *machine) Make() { m.host.machines.Go(m.run) }

// Close implements server.Machine.
func (m *machine) Close() { m.end() }

// run makes the VM and releases it when QEMU has ended.
func (m *machine) run() {
	defer m.end()
	var a *arrival // nil for a cold start
	if m.vm.Ensured().Target {
		var err error
		if a, err = m.meet(); err != nil {
			m.enter(func() { m.fail("guest does not arrive", err) })
			return
		}
		defer a.close()
	}
	p, files, ids, err := m.host.prepare(m.vm.Ensured().Spec)
	if err != nil {
		m.notMade(a, err)
		return
	}
	if a != nil {
		p.args = append(p.args, "-incoming", "defer")
	}
	c, err := startChild(m.host.o.Program, p.args, files, m.host.o.User)
	if err != nil {
		m.notMade(a, err)
		return
	}
	defer c.release()
	defer context.AfterFunc(m.ctx, c.kill)()
	k := m.console.keep(m.host.o.Dir, m.log)
	m.enter(func() { m.keeper = k })
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		m.console.copyFrom(c.console, m.log)
	}()
	q := newQMP(c.qmp, func(e qmpEvent) {
		if slices.Contains(knownEvents, e.Name) {
			m.enter(func() { m.happened(e) })
		}
	})
	err = q.do(m.ctx, makeBudget, "qmp_capabilities", nil)
	m.console.connect(c.console)
	if err == nil {
		err = m.opened(a, p, ids, c, q)
	}
	if err != nil {
		c.kill()
	}
	select {
	case <-c.exited:
	case <-q.done:
		m.awaitExit(c)
	}
	<-printed // All of it, since QEMU has closed its end.
	k.flush()
	if a != nil && a.done != nil {
		<-a.done
	}
	m.awaitAnswer()
	m.enter(func() { m.exited(c) })
}

// notMade handles that there is no QEMU.
func (m *machine) notMade(a *arrival, err error) {
	if a != nil {
		a.giveUp(err)
	}
	m.enter(func() { m.fail("cannot make VM", err) })
}

// opened goes on once QEMU has opened the disks, which ids identify.
func (m *machine) opened(a *arrival, p *plan, ids map[string]string, c *child, q *qmpClient) (err error) {
	if a != nil {
		if err = a.prepare(m.ctx, q, ids); err != nil {
			a.giveUp(err)
		}
	}
	m.enter(func() {
		if err != nil {
			m.fail("cannot make VM", fmt.Errorf("%w: %s", err, c.words))
			return
		}
		m.child, m.qmp, m.disks, m.files = c, q, p.disks, ids
		if a != nil {
			a.done = make(chan struct{})
			m.host.machines.Go(func() { a.run(c, q) })
		}
		m.vm.Made()
	})
	return err
}

// awaitExit waits for the end of a QEMU that is about to exit, and kills it if it does not.
func (m *machine) awaitExit(c *child) {
	select {
	case <-c.exited:
	case <-time.After(quitBudget):
		c.kill()
		<-c.exited
	}
}

// enter is vm.Enter for what no longer matters once the VM has ended.
func (m *machine) enter(do func()) {
	m.vm.Enter(func() {
		if !m.ended {
			do()
		}
	})
}

// fail ends the VM in Failed. That is logged before it is published: a client that sees it may look into
// the log at once.
func (m *machine) fail(why string, err error) {
	m.ended = true
	switch d := m.departure; {
	case d != nil && d.given: // The target says whether it has arrived.
		m.vm.ShowPhase(server.Finish)
	case m.moves():
		m.vm.ShowPhase(server.ErrorPhase)
	}
	console, k := m.console.tail(maxLastConsole), m.keeper
	m.vm.Later(func() {
		k.flush()
		m.log.Error().Err(err).Str("console", console).Msg(why)
		m.vm.Enter(func() { m.vm.Ends(server.Failed) })
		m.end()
	})
}

// exited handles the end of QEMU.
func (m *machine) exited(c *child) {
	words := c.words.String()
	if m.doing != stopping {
		m.fail("QEMU has ended by itself", fmt.Errorf("%s: %s", c.how, words))
		return
	}
	m.ended = true
	m.vm.Later(func() { m.log.Info().Str("how", c.how).Str("stderr", words).Msg("QEMU has ended") })
	if !m.away {
		m.vm.RunsDown()
		m.vm.Publish(server.Stopped)
	}
	m.vm.Ends(server.Destroyed)
}

// Begin implements server.Machine.
func (m *machine) Begin(r server.Request) {
	switch {
	case m.ended: // It is about to be Failed.
	case r == server.Run:
		m.doing = starting
		m.vm.Publish(server.Starting)
		m.command("cont", m.runs)
	case r == server.Stop:
		m.vm.Publish(server.Stopping)
		m.quit()
	case r == server.Reboot:
		m.reset()
		m.command("system_reset", nil) // Its event follows.
	case r == server.MigrateOut:
		m.leave()
	}
}

// StopStarting implements server.Machine.
func (m *machine) StopStarting() {
	m.vm.RunsDown()
	m.quit()
}

// Press implements server.Machine. If it does not work, the time of the soft request runs out.
func (m *machine) Press() {
	q := m.qmp
	go func() {
		if err := q.do(m.ctx, commandBudget, "system_powerdown", nil); err != nil {
			m.log.Warn().Err(err).Msg("cannot press the power button")
		}
	}()
}

// ReadConsole implements server.Console.
func (m *machine) ReadConsole(from uint64, limit int) (data []byte, next uint64, more <-chan struct{}) {
	return m.console.read(from, limit)
}

// ConsoleEnd implements server.Console.
func (m *machine) ConsoleEnd() uint64 { return m.console.length() }

// WriteConsole implements server.Console.
func (m *machine) WriteConsole(ctx context.Context, input []byte) error {
	return m.console.send(ctx, input)
}

// command executes a command and goes on with then, unless something else was begun meanwhile. If
// the command fails, so does the VM.
func (m *machine) command(name string, then func()) {
	q, begun := m.qmp, m.doing
	go func() {
		err := q.do(m.ctx, commandBudget, name, nil)
		m.enter(func() {
			switch {
			case m.doing != begun:
			case errors.As(err, new(*qmpError)) && m.settling && m.halted:
				// The guest has powered off since its reset, and QEMU refuses cont. runs goes on.
			case err != nil:
				m.fail("QEMU does not obey", err)
			case then != nil:
				then()
			}
		})
	}()
}

func (m *machine) runs() {
	m.doing = idle
	m.vm.Runs()
	if m.halted {
		m.guestEnded()
	}
}

// quit ends QEMU, by force if need be.
func (m *machine) quit() {
	m.doing = stopping
	q, c := m.qmp, m.child
	go func() {
		if err := q.do(m.ctx, quitBudget, "quit", nil); err != nil && !errors.Is(err, errQMPClosed) {
			m.log.Warn().Err(err).Msg("QEMU is killed")
			c.kill()
		}
		m.awaitExit(c)
	}()
}

// reset shows that the guest is reset.
func (m *machine) reset() {
	m.doing = rebooting
	m.vm.Publish(server.Rebooting)
}

// knownEvents are those that happened handles. A guest can cause others without limit.
var knownEvents = []string{"RESET", "SHUTDOWN", "GUEST_PANICKED", "MIGRATION", "STOP", "BLOCK_JOB_COMPLETED",
	"BLOCK_JOB_CANCELLED", "BLOCK_IO_ERROR"}

// happened handles an event.
func (m *machine) happened(e qmpEvent) {
	if m.events.Allow() {
		m.vm.Later(func() {
			m.log.Info().Str("event", e.Name).Str("reason", e.Data.Reason).Str("disk", e.Data.Device).Msg("QEMU's event")
		})
	}
	switch e.Name {
	case "RESET":
		m.wasReset()
	case "SHUTDOWN":
		if e.Data.Guest {
			m.guestEnded()
		}
	case "GUEST_PANICKED":
		if m.doing != stopping {
			m.fail("guest has panicked", nil)
		}
	case "MIGRATION", "STOP":
		m.migrationEvent(e)
	case "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED":
		m.copied(e)
	}
}

// wasReset handles a reset. The guest goes on at once, even if it had shut down before, in which
// case QEMU has halted it. More resets may follow, by the firmware for example.
func (m *machine) wasReset() {
	m.halted = false
	switch {
	case m.doing == idle:
		m.vm.Begins()
		m.reset()
	case m.doing != rebooting || m.settling:
		return
	}
	m.settling = true
	m.command("cont", nil)
	time.AfterFunc(settle, func() {
		m.enter(func() {
			m.settling = false
			if m.doing == rebooting {
				m.runs()
			}
		})
	})
}

// guestEnded handles that the guest has powered itself off. QEMU has halted it. If that was while
// it was started, reset or moved, runs goes on.
func (m *machine) guestEnded() {
	m.halted = true
	if m.departure != nil && m.doing == leaving {
		notify(m.departure.events, errGuestOff.Error())
	}
	if m.doing != idle || m.vm.Obeys() {
		return
	}
	m.vm.Begins()
	m.vm.Publish(server.Stopping)
	m.quit()
}
