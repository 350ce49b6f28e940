package publish

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Config says where Nexus is and how patient the publisher is with it. A
// duration or Concurrency that is not positive means its default.
type Config struct {
	// Addresses are the base URLs of Nexus's replicas. With none the sled is
	// standalone: nothing is ever sent or acknowledged.
	Addresses []string
	// RequestTimeout bounds one PUT from the dial to the end of the answer's
	// body. Default 10s.
	RequestTimeout time.Duration
	// RetryInitial is the mean of the first pause after a failed round,
	// RetryMax the longest pause. Defaults 250ms and 30s.
	RetryInitial, RetryMax time.Duration
	// GiveUpAfter is how long a terminal record is offered at most. Default 24h.
	GiveUpAfter time.Duration
	// Concurrency is the number of PUTs under way at once. Default 16.
	Concurrency int
	Log         zerolog.Logger
	// Transport carries the requests; nil means one of the publisher's own,
	// without proxies.
	Transport http.RoundTripper
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.RequestTimeout, 10*time.Second)
	def(&c.RetryInitial, 250*time.Millisecond)
	def(&c.RetryMax, 30*time.Second)
	def(&c.GiveUpAfter, 24*time.Hour)
	if c.Concurrency <= 0 {
		c.Concurrency = 16
	}
	return c
}

// A Result says how the offer of one generation ended: acknowledged or given
// up, never both.
type Result struct {
	Gen    uint64
	Acked  bool
	GaveUp bool
	// Err is why it was given up; nil when acknowledged.
	Err error
	// Attempts counts the PUTs of this record.
	Attempts int
}

// Stats counts what the publisher did and does.
type Stats struct {
	// Acked counts 204 answers, Retried failed PUTs whose record is sent again,
	// GaveUp terminal records that were given up.
	Acked, Retried, GaveUp uint64
	// InFlight is the number of VMMs being served now, Waiting of those that
	// wait for their turn or for their backoff to end.
	InFlight, Waiting uint64
}

// A Publisher sends VMM records to Nexus. Its methods may be called from any
// goroutine, also from notify (except Close, which would wait for its caller).
type Publisher struct {
	cfg    Config
	client *http.Client
	ctx    context.Context // ends with Close; parent of every PUT
	stop   context.CancelFunc
	wake   chan struct{} // capacity 1: something is due before the scheduler's alarm
	ended  chan struct{} // closed when the last goroutine has left after Close

	mu        sync.Mutex // guards what follows and every slot; never held over I/O
	closed    bool
	running   int // goroutines: the scheduler and the rounds
	inFlight  int // rounds
	slots     map[uuid.UUID]*slot
	due       dueHeap
	alarm     time.Time  // when the scheduler wakes by itself; zero: never
	deadlines *list.List // *slot with a terminal record, by deadline (GiveUpAfter is one for all)
	over      *list.List // *slot whose terminal record is settled, oldest first
	replicas  replicas
	seq       uint64
	stats     Stats
}

// New starts a publisher. The caller must Close it.
func New(cfg Config) *Publisher {
	cfg = cfg.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Publisher{
		cfg:       cfg,
		client:    newClient(cfg),
		ctx:       ctx,
		stop:      stop,
		wake:      make(chan struct{}, 1),
		ended:     make(chan struct{}),
		running:   1,
		slots:     map[uuid.UUID]*slot{},
		deadlines: list.New(),
		over:      list.New(),
		replicas:  newReplicas(cfg.Addresses),
	}
	go p.schedule()
	return p
}

// Acknowledged tells that an earlier process has heard Nexus acknowledge this
// generation of the VMM's record, so that it need not be sent again. A terminal
// record is sent all the same: somebody waits to hear of its acknowledgement.
func (p *Publisher) Acknowledged(id uuid.UUID, gen uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || gen == 0 {
		return
	}
	s := p.slots[id]
	if s == nil {
		s = newSlot(id)
		p.slots[id] = s
	}
	s.acked = max(s.acked, gen)
}

// Offer makes r the record to be sent for this VMM, unless one of the same or
// a greater generation was offered before. It replaces what waits; a PUT
// under way is left to end, and r follows it. Offer does not keep r's pointers.
//
// A record is tried promptly, unless the VMM's last try failed: then it waits
// for the end of that backoff.
//
// notify, which may be nil, is called at most once, from a goroutine of the
// publisher's: when Nexus has acknowledged this generation, or when it is a
// terminal one and was given up. It is not called for a record that was
// superseded, nor for one of a running VMM that Nexus refused. While it runs
// it holds one of the publisher's Concurrency places, so it should not linger.
func (p *Publisher) Offer(id uuid.UUID, r vmm.Record, notify func(Result)) {
	o := &offer{gen: r.VMM.Gen, state: r.VMM.State, notify: notify}
	var err error
	o.body, err = json.Marshal(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	s := p.slots[id]
	if s == nil {
		s = newSlot(id)
		p.slots[id] = s
	} else if s.newest != nil && s.newest.gen >= o.gen {
		return
	}
	o.since = time.Now()
	p.unlist(s)
	s.newest = o
	if 0 < s.acked && o.gen <= s.acked && !o.terminal() {
		p.settle(s)
		return
	}
	switch {
	case err != nil:
		// No try can succeed: a terminal record is due to be given up at once.
		s.err = fmt.Errorf("encode record of VMM %s: %w", id, err)
		o.deadline, o.settled = o.since, !o.terminal()
	case o.terminal():
		o.deadline = o.since.Add(p.cfg.GiveUpAfter)
		s.deadline = p.deadlines.PushBack(s)
	}
	p.enqueue(s, o.since)
	p.dispatch(o.since)
}

// Drop forgets the VMM, because Nexus took ownership of its state or because
// nobody asks for it any more. What waits is discarded and a PUT under way is
// cancelled. Drop does not wait: a PUT or a call of notify that began before
// Drop is over when the channel that Idle returns is closed; none begins
// afterwards. An Offer that follows starts anew, as for an unknown VMM.
func (p *Publisher) Drop(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[id]
	if s == nil {
		return
	}
	p.unqueue(s)
	p.unlist(s)
	if s.cancel != nil {
		s.cancel()
	}
	if s.busy {
		s.forget()
		return
	}
	delete(p.slots, id)
}

// Idle returns a channel that is closed as soon as no PUT and no call of
// notify is under way for the VMM; for an idle VMM it is closed already.
func (p *Publisher) Idle(id uuid.UUID) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[id]; s != nil && s.busy {
		return s.idle
	}
	return closedChan
}

var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Status says how far the VMM's publication has come; false if nothing was
// offered for it, or it was dropped. Of VMMs that have ended and were not
// dropped only the last maxOver are remembered.
func (p *Publisher) Status(id uuid.UUID) (vmm.PublishStatus, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[id]
	if s == nil || s.newest == nil {
		return vmm.PublishStatus{}, false
	}
	st := vmm.PublishStatus{Gen: s.newest.gen, Acked: s.acked, Attempts: s.newest.attempts}
	if s.err != nil {
		st.LastError = clip(s.err.Error(), maxErr)
	}
	return st, true
}

// Stats returns the counters as they are now.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.stats
	st.InFlight = uint64(p.inFlight)
	st.Waiting = uint64(len(p.due))
	return st
}

// Close cancels what is under way and waits until every goroutine of the
// publisher's has ended, or ctx has. Nothing is sent and no notify begins
// afterwards. Records that were not acknowledged are forgotten.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	if p.cfg.Transport == nil {
		defer p.client.CloseIdleConnections()
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close publisher: %w", ctx.Err())
	}
}
