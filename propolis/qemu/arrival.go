package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
)

// takeBudget is how long it may take from the word loaded until the guest is started here. After
// that the source may have given it up.
const takeBudget = 10 * time.Second

// lingerBudget is how long the source may take to learn of a failure.
const lingerBudget = time.Second

// An arrival is the migration of a VM to this server. QEMU has the guest before it may run. It is
// started only after the word yours.
type arrival struct {
	*link
	m      *machine
	files  map[string]string
	events chan string
	stream net.Conn // to QEMU
	// listened is closed when nothing more is read from the link after load has begun.
	listened chan struct{}
	// done is closed when the source has been told everything; nil before run.
	done chan struct{}
}

// meet asks the source for the VM and learns what it consists of.
func (m *machine) meet() (*arrival, error) {
	e := m.vm.Ensured()
	l, err := dial(m.ctx, e)
	if err != nil {
		return nil, err
	}
	a := &arrival{link: l, m: m, events: make(chan string, maxEvents), listened: make(chan struct{})}
	if err := a.learn(e); err != nil {
		a.giveUp(err)
		return nil, err
	}
	return a, nil
}

func (a *arrival) learn(e *server.Ensured) error {
	offer, err := a.expect(a.m.ctx, readyBudget, offered)
	if err != nil {
		return err
	}
	a.files = offer.Files
	if e, err = e.Arriving(offer.Spec); err != nil {
		return err
	}
	if err := a.m.host.checkSpec(e.Spec); err != nil {
		return err
	}
	a.m.enter(func() {
		a.m.vm.Learns(e)
		a.m.arrival = a
	})
	return nil
}

// giveUp tells the source that the migration has failed.
func (a *arrival) giveUp(why error) {
	a.tellFailure(a.m.ctx, failed, why)
	a.close()
}

// prepare makes QEMU wait for the stream. files identify those that it has opened.
func (a *arrival) prepare(ctx context.Context, q *qmpClient, files map[string]string) (err error) {
	if err := sameFiles(files, a.files); err != nil {
		return err
	}
	if a.stream, err = openStream(ctx, q); err != nil {
		return err
	}
	if err := migrate(ctx, q, "migrate-incoming"); err != nil {
		return err
	}
	return a.tell(ctx, message{Word: ready})
}

// run receives the guest and starts it.
func (a *arrival) run(c *child, q *qmpClient) {
	defer close(a.done)
	defer a.close()
	defer a.stream.Close()
	a.m.enter(func() { a.m.vm.ShowPhase(server.RAMPush) })
	// Its end closes the link. Until then the source can be told why.
	ctx, cancel := context.WithCancel(a.m.ctx)
	defer cancel()
	last, err := a.load(ctx, q)
	if err == nil {
		err = a.take(c, q, last)
	} else {
		a.tellFailure(ctx, failed, err)
		a.linger()
	}
	if err == nil {
		return
	}
	select {
	case <-q.done: // QEMU says why when it has ended, which the machine waits for.
	default:
		a.m.enter(func() { a.m.fail("guest has not arrived", err) })
	}
}

// linger gives the source time to learn of a failure. If the link were closed while there is still
// something to read, the network would drop what was sent last.
func (a *arrival) linger() {
	select {
	case <-a.listened: // The source has closed it.
	case <-time.After(lingerBudget):
	}
}

// A bequest is the source's last word, and until when it is good.
type bequest struct {
	message
	until time.Time
}

// load gives QEMU the stream and waits until the guest may run.
func (a *arrival) load(ctx context.Context, q *qmpClient) (last bequest, err error) {
	var late <-chan time.Time
	words, broken := make(chan message, 1), make(chan error, 1)
	go func() {
		defer close(a.listened)
		if m, err := a.listen(ctx); err != nil {
			broken <- err
			a.discard(ctx)
		} else {
			words <- m
		}
	}()
	for {
		select {
		case what := <-a.events:
			switch what {
			case "completed":
				last.until, late = time.Now().Add(takeBudget), time.After(takeBudget)
				a.m.enter(func() { a.m.vm.ShowPhase(server.Device) })
				if err := a.tell(ctx, message{Word: loaded}); err != nil {
					return bequest{}, err
				}
			case "failed":
				return bequest{}, errors.New("QEMU cannot load the guest")
			}
		case last.message = <-words:
			if last.until.IsZero() {
				return bequest{}, errors.New("the source gives the guest away before it was loaded")
			}
			return last, nil
		case err := <-broken:
			return bequest{}, err
		case <-late:
			return bequest{}, fmt.Errorf("the source has not given the guest away within %s", takeBudget)
		case <-q.done:
			return bequest{}, q.broken
		}
	}
}

// listen gives QEMU the stream until the word yours.
func (a *arrival) listen(ctx context.Context) (message, error) {
	for {
		m, err := a.hear(ctx, stallBudget, a.stream)
		switch {
		case err != nil || m.Word == yours:
			return m, err
		case m.Word != paused:
			return m, fmt.Errorf("the source says %q", m.Word)
		}
		a.m.enter(func() { a.m.vm.ShowPhase(server.Pause) })
	}
}

// take starts the guest. The source is told that it was refused only if it certainly never ran: QEMU
// has refused to start it and has ended.
func (a *arrival) take(c *child, q *qmpClient, last bequest) error {
	if h := last.Console; h != nil {
		a.m.console.inherit(*h)
	}
	ctx, cancel := context.WithDeadline(a.m.ctx, last.until)
	defer cancel()
	err := q.do(ctx, commandBudget, "cont", nil)
	if err == nil {
		a.m.enter(func() {
			a.m.vm.ShowPhase(server.Finish)
			a.m.arrival = nil
			a.m.runs()
		})
		if err := a.tell(a.m.ctx, message{Word: running}); err != nil {
			a.m.log.Warn().Err(err).Msg("source was not told that the guest runs here")
		}
		return nil
	}
	if qemus := (*qmpError)(nil); errors.As(err, &qemus) {
		c.kill()
		<-c.exited
		a.tellFailure(a.m.ctx, refused, err)
	}
	return err
}
