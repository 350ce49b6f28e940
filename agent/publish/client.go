package publish

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// apiVersion is the version of Nexus's internal API.
	apiVersion = "1.0.0"
	// maxSaid bounds what is kept of a server's texts.
	maxSaid = 256
)

var (
	errNoNexus   = errors.New("no Nexus is configured")
	errNoReplica = errors.New("no address of Nexus is known yet")
	errClosed    = errors.New("client is closed")
)

// Config configures a Client. A duration or Concurrency that is not positive means its
// default.
type Config struct {
	// Addresses are the base URLs of Nexus's replicas. Without any, nothing is sent until
	// SetReplicas.
	Addresses []string
	// Named is whether the replicas are found by name. It is for the error without any.
	Named bool
	// RequestTimeout bounds one PUT from the dial to the end of the answer's
	// body. Default 10s.
	RequestTimeout time.Duration
	// ShunFor is how long a replica that gave no answer is avoided while there is another
	// one. Default 30s.
	ShunFor time.Duration
	// Concurrency is the number of concurrent PUTs; each replica has at least one place.
	// Default 16.
	Concurrency int
	Log         zerolog.Logger
	// TLS returns the configuration of one connection to the server of this name; nil means
	// that of crypto/tls.
	TLS func(server string) (*tls.Config, error)
	// Dial connects to a replica; nil means that of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c Config) withDefaults() Config {
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.ShunFor <= 0 {
		c.ShunFor = 30 * time.Second
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 16
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return c
}

// A Client sends records to Nexus. It is safe for concurrent use.
type Client struct {
	cfg     Config
	rt      http.RoundTripper
	kept    kept
	peers   *peers
	closing context.Context // ends with Close
	end     context.CancelFunc
	counts  [len(verdicts)]atomic.Uint64 // PUTs by Verdict
}

// New returns a client. It opens no connection and starts no goroutine.
func New(cfg Config) *Client {
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, peers: newPeers(cfg.Addresses, cfg.Concurrency, cfg.ShunFor)}
	c.rt = transport{dial: cfg.Dial, secure: cfg.TLS, kept: &c.kept}
	c.closing, c.end = context.WithCancel(context.Background())
	return c
}

// SetReplicas replaces the replicas by those with these base URLs. Those that stay keep their
// PUTs and are avoided as before. PUTs in progress at the others go on. Without URLs it does
// nothing: that no replica is known proves nothing about those that were.
func (c *Client) SetReplicas(bases []string) {
	if len(bases) > 0 {
		c.peers.set(bases)
	}
}

// Replicas returns the replicas' base URLs, and how many of them are avoided now since they
// gave no answer.
func (c *Client) Replicas() (bases []string, avoided int) { return c.peers.known() }

func (c *Client) none() error {
	if c.cfg.Named {
		return errNoReplica
	}
	return errNoNexus
}

// An Answer is the result of one Put.
type Answer struct {
	Verdict Verdict
	// Status is the status of the last PUT; 0 if it had no answer.
	Status int
	// Err is why the record is not acknowledged; nil if and only if it is.
	Err error
	// Sent is the number of PUTs made.
	Sent int
}

// Put offers one record once. It asks each replica in turn until the verdict is not
// CannotTell, and waits for a place before each PUT, in the order of the calls; records with
// the end of a VMM mostly go before others. It skips replicas that gave no answer recently if
// another one answers. The end of ctx ends the call and says nothing about a replica.
//
// After Put has returned, nothing of the record leaves this host: a connection is closed
// unless its replica has acknowledged the record. A replica may still process what it has
// received.
func (c *Client) Put(ctx context.Context, id uuid.UUID, r vmm.Record) Answer {
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{Verdict: Refused, Err: fmt.Errorf("encode record of VMM %s: %w", id, err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.closing, func() { cancel(errClosed) })
	defer stop()
	return c.round(ctx, id, r.VMM.State.Terminal(), body)
}

// Stats counts PUTs by verdict, without those that are in progress or were cancelled by
// their callers or Close.
type Stats struct {
	Acked, CannotTell, Unknown, Refused uint64
	// InFlight is the number of PUTs in progress, Waiting that of calls of Put that wait
	// for a place.
	InFlight, Waiting uint64
}

// Stats returns the current counters.
func (c *Client) Stats() Stats {
	c.peers.mu.Lock()
	busy, waiting := c.peers.busy, c.peers.queue.len()
	c.peers.mu.Unlock()
	return Stats{Acked: c.counts[Acked].Load(), CannotTell: c.counts[CannotTell].Load(),
		Unknown: c.counts[Unknown].Load(), Refused: c.counts[Refused].Load(),
		InFlight: uint64(busy), Waiting: uint64(waiting)}
}

// Close ends every Put with the verdict CannotTell. It returns when none is in progress
// or ctx has ended.
func (c *Client) Close(ctx context.Context) error {
	c.peers.close()
	c.end()
	c.kept.close()
	select {
	case <-c.peers.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close client of Nexus: %w", ctx.Err())
	}
}
