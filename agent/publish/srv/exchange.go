package srv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
)

const (
	// queryBudget is the time for one question over one protocol.
	queryBudget = 2 * time.Second
	// udpSize is the size of UDP answers that is asked for: it fits into every link's
	// packets.
	udpSize = 1232
)

// An asker sends a question over "udp" or "tcp" and returns the answer. The message may come
// with an error if it is damaged.
type asker func(ctx context.Context, network string, server netip.AddrPort, question *dns.Msg) (*dns.Msg, error)

var (
	errLate    = fmt.Errorf("no answer within %v", queryBudget)
	errDamaged = errors.New("answer is damaged")
	errForeign = errors.New("answer is to another question")
	errCut     = errors.New("connection was closed before the answer")
	errNoName  = errors.New("answer is " + dns.RcodeToString[dns.RcodeNameError])
)

// query asks a server over UDP, and over TCP if the answer is truncated.
func (r *Resolver) query(ctx context.Context, server netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind) // with a random id
	question.SetEdns0(udpSize, false)
	m, err := r.ask(ctx, "udp", server, question)
	if m != nil && m.Truncated {
		m, err = r.ask(ctx, "tcp", server, question)
	}
	switch {
	case err != nil:
		return nil, reason(err)
	case !m.Response || len(m.Question) != 1 || dns.CanonicalName(m.Question[0].Name) != dns.CanonicalName(name) ||
		m.Question[0].Qtype != kind:
		return nil, errForeign
	case m.Rcode == dns.RcodeNameError:
		return nil, errNoName
	case m.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("answer is %s", rcode(m.Rcode))
	}
	return m, nil
}

func rcode(n int) string {
	if s, ok := dns.RcodeToString[n]; ok {
		return s
	}
	return fmt.Sprintf("rcode %d", n)
}

// reason returns the part of an error that stays the same while the cause does: without the
// port of this side, which is another one each time.
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, net.ErrClosed):
		return errLate // net.ErrClosed: closed by exchange
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	}
	if _, ok := errors.AsType[*os.SyscallError](err); ok {
		return err
	}
	return errDamaged
}

// exchange is the asker over the network.
func exchange(ctx context.Context, network string, server netip.AddrPort, question *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: network, Timeout: queryBudget}
	conn, err := client.DialContext(ctx, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The library observes ctx's deadline but not its cancellation.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	m, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	return m, err
}
