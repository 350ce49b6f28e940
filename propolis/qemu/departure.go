package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/propolis/server"
)

const (
	// readyBudget is how long a target may take until its QEMU waits for the stream.
	readyBudget = makeBudget + connectBudget
	// moveBudget bounds the whole copy of a guest's memory.
	moveBudget = time.Hour
	// loadBudget is how long a target may take once it has been sent everything.
	loadBudget = time.Minute
	// answerBudget is how long a target may take to say that the guest runs there. It is longer than
	// takeBudget, in which the target must have started it.
	answerBudget = 3 * takeBudget
	// backBudget is how long the guest may take to go on here.
	backBudget = 15 * time.Second
)

// A departure is the migration of a VM to another server. The guest runs here until QEMU has sent
// its memory, and then nowhere. Until the word yours is sent, whatever fails makes it go on here.
// From then on it goes on here only if the target has refused it. If it is not known whether the
// target runs it, the VM has failed and the migration is over, so that only the target says whether it
// has failed: else Nexus might start the instance again while it runs there.
type departure struct {
	*link
	m *machine
	q *qmpClient
	// ctx ends with the machine's, or with the departure.
	ctx    context.Context
	end    context.CancelFunc
	events chan string
	// given: the word yours is being sent. The server's lock guards it.
	given bool
}

// Protocol implements server.Migrator.
func (m *machine) Protocol() string { return migrationProtocol }

// Connect implements server.Migrator.
func (m *machine) Connect(target *websocket.Conn) (ended <-chan struct{}) {
	d := &departure{link: &link{target}, m: m, q: m.qmp, events: make(chan string, maxEvents)}
	d.ctx, d.end = context.WithCancel(m.ctx)
	m.departure = d
	return d.ctx.Done()
}

// leave begins the migration out of this server.
func (m *machine) leave() {
	m.doing = leaving
	m.vm.ShowPhase(server.Sync)
	m.host.machines.Go(m.departure.run)
}

func (d *departure) run() {
	defer d.end()
	defer d.close()
	// Its end closes the link. Until then the target can be told why.
	ctx, cancel := context.WithTimeout(d.ctx, moveBudget)
	defer cancel()
	err := d.push(ctx)
	if err == nil {
		err = d.give()
	}
	if err != nil {
		d.stay(err)
	}
}

// push sends the guest, which does not run any more when it returns without an error. The target has
// all of it.
func (d *departure) push(ctx context.Context) error {
	offer, err := d.offer()
	if err != nil {
		return err
	}
	if err := d.tell(ctx, offer); err != nil {
		return err
	}
	if _, err := d.expect(ctx, readyBudget, ready); err != nil {
		return err
	}
	d.m.enter(func() { d.m.vm.ShowPhase(server.RAMPush) })
	stream, err := openStream(ctx, d.q)
	if err != nil {
		return err
	}
	defer stream.Close()
	sent := make(chan error, 1)
	go func() { sent <- d.send(ctx, stream) }()
	heard := make(chan error, 1)
	go func() {
		_, err := d.expect(ctx, moveBudget, loaded)
		heard <- err
	}()
	if !d.m.host.live {
		if err := d.q.do(ctx, commandBudget, "stop", nil); err != nil {
			return err
		}
	}
	if err := migrate(ctx, d.q, "migrate"); err != nil {
		return err
	}
	return d.await(ctx, sent, heard)
}

// await waits until QEMU has sent the guest and the target has loaded it.
func (d *departure) await(ctx context.Context, sent, heard <-chan error) error {
	var late <-chan time.Time
	for completed := false; !completed || sent != nil || heard != nil; {
		select {
		case what := <-d.events:
			switch what {
			case "completed":
				completed, late = true, time.After(loadBudget)
			case string(paused):
				d.m.enter(func() { d.m.vm.ShowPhase(server.Pause) })
				if err := d.tell(ctx, message{Word: paused}); err != nil {
					return err
				}
			case "failed", "cancelled":
				return fmt.Errorf("QEMU's migration is %q", what)
			case errGuestOff.Error():
				return errGuestOff
			}
		case err := <-sent:
			if sent = nil; err != nil {
				return err
			}
		case err := <-heard:
			if heard = nil; err != nil {
				return err
			}
		case <-late:
			return fmt.Errorf("target has not loaded the guest within %s", loadBudget)
		case <-d.q.done:
			return d.q.broken
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return awaitStatus(ctx, d.q, "query-status", "postmigrate")
}

// offer is what the target must know of the VM.
func (d *departure) offer() (message, error) {
	var spec json.RawMessage
	jobs := 0
	d.m.enter(func() { spec, jobs = d.m.vm.Ensured().Spec, len(d.m.jobs) })
	switch {
	case spec == nil:
		return message{}, errors.New("VM has ended")
	case jobs > 0:
		return message{}, errors.New("snapshots are being taken")
	}
	return message{Word: offered, Spec: spec, Files: d.m.files}, movable(spec)
}

// give gives the guest to the target. An error means that it is still, or again, this server's.
func (d *departure) give() error {
	if err := d.commit(); err != nil {
		return err
	}
	err := d.tell(d.ctx, message{Word: yours, Console: d.m.console.history()})
	var answer message
	if err == nil {
		answer, err = d.hear(d.ctx, answerBudget, nil)
	}
	switch {
	case err == nil && answer.Word == running:
		d.m.enter(d.m.gone)
		return nil
	case err == nil && answer.Word == refused:
		d.m.enter(func() { d.given = false })
		return errors.New("target cannot run the guest: " + answer.Why)
	case err == nil:
		err = fmt.Errorf("target says %q", answer.Word)
	}
	d.m.enter(func() { d.m.fail("guest was given to the target and it is not known whether it runs there", err) })
	return nil
}

// commit decides that the guest is the target's.
func (d *departure) commit() error {
	err := errors.New("VM has ended")
	d.m.enter(func() {
		if d.m.halted {
			err = errGuestOff
			return
		}
		d.given, err = true, nil
		d.m.vm.ShowPhase(server.Device)
	})
	return err
}

// stay lets the guest go on here.
func (d *departure) stay(why error) {
	d.tellFailure(d.ctx, failed, why)
	d.close()
	err := d.takeBack()
	d.m.enter(func() {
		d.m.departure = nil
		d.m.vm.Later(func() { d.m.log.Warn().Err(why).Msg("migration has failed") })
		if err != nil {
			d.m.fail("guest does not go on after a failed migration", errors.Join(why, err))
			return
		}
		d.m.vm.ShowPhase(server.ErrorPhase)
		d.m.runs()
	})
}

// takeBack makes the guest run. When a migration fails, QEMU does so by itself; when it was complete,
// it does not.
func (d *departure) takeBack() error {
	ctx, cancel := context.WithTimeout(d.ctx, backBudget)
	defer cancel()
	if err := d.q.do(ctx, commandBudget, "migrate_cancel", nil); err != nil {
		return err
	}
	if err := awaitStatus(ctx, d.q, "query-migrate", "", "cancelled", "failed", "completed"); err != nil {
		return err
	}
	for {
		status, err := statusOf(ctx, d.q, "query-status")
		switch {
		case err != nil:
			return err
		case status == "running" || status == "shutdown":
			return nil
		case status != "finish-migrate":
			err = d.q.do(ctx, commandBudget, "cont", nil)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("QEMU is still %q: %w", status, ctx.Err()), err)
		}
	}
}

// gone handles that the guest runs at the target.
func (m *machine) gone() {
	m.vm.ShowPhase(server.Finish)
	m.away = true
	m.vm.RunsDown()
	m.vm.Publish(server.Stopping)
	m.quit()
}

// awaitAnswer waits, if the guest was given away, until it is known what has become of it.
func (m *machine) awaitAnswer() {
	var given context.Context
	m.enter(func() {
		if d := m.departure; d != nil && d.given {
			given = d.ctx
		}
	})
	if given != nil {
		<-given.Done()
	}
}
