package srv_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/publish/srv"
	"github.com/sledagent/sledagent/agent/publish/srv/srvtest"
)

var (
	one = netip.MustParseAddrPort("192.0.2.1:12221")
	two = netip.MustParseAddrPort("[fd00::2]:12222")
)

// resolve runs a Resolver until its first report, and returns what it found and reported.
func resolve(t *testing.T, servers ...netip.AddrPort) (found []netip.AddrPort, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := sync.OnceFunc(cancel)
	reported := false
	r := srv.New(srv.Options{Servers: servers, Log: zerolog.Nop(),
		Found: func(f []netip.AddrPort) { found = f },
		Report: func(e error) {
			if !reported {
				reported, err = true, e
			}
			first()
		}})
	r.Run(ctx)
	return found, err
}

func same(found []netip.AddrPort, want ...netip.AddrPort) bool {
	if len(found) != len(want) {
		return false
	}
	set := map[netip.AddrPort]bool{}
	for _, f := range found {
		set[f] = true
	}
	for _, w := range want {
		if !set[w] {
			return false
		}
	}
	return true
}

func TestOverSockets(t *testing.T) {
	t.Parallel()
	s := srvtest.New(t, srvtest.Replicas(60, one, two))
	if found, err := resolve(t, s.Addr); err != nil || !same(found, one, two) {
		t.Errorf("found %v, %v", found, err)
	}
}

// An answer that is truncated over UDP is fetched over TCP, whether its records are whole or
// cut in the middle.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		s := srvtest.New(t, func(w dns.ResponseWriter, q *dns.Msg) {
			m := nexussim.Answer(q, 60, one, two)
			if w.LocalAddr().Network() == "tcp" {
				_ = w.WriteMsg(m)
				return
			}
			m.Truncated = true
			if !cut {
				m.Answer, m.Extra = nil, nil
			}
			raw, _ := m.Pack()
			if cut {
				raw = raw[:len(raw)-10]
			}
			_, _ = w.Write(raw)
		})
		if found, err := resolve(t, s.Addr); err != nil || !same(found, one, two) || s.Asked() != 2 {
			t.Errorf("cut %t: found %v, %v, after %d questions", cut, found, err, s.Asked())
		}
	}
}

// A server that fails in any way is passed over for the next one, and its error is always the
// same.
func TestServersThatFail(t *testing.T) {
	t.Parallel()
	write := func(f func(q *dns.Msg, raw []byte) []byte) srvtest.Handler {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			raw, _ := nexussim.Answer(q, 60, one).Pack()
			_, _ = w.Write(f(q, raw))
		}
	}
	msg := func(f func(m *dns.Msg)) srvtest.Handler {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			m := nexussim.Answer(q, 60, one)
			f(m)
			_ = w.WriteMsg(m)
		}
	}
	for name, c := range map[string]struct {
		handler srvtest.Handler
		want    string
	}{
		"SERVFAIL": {srvtest.Refuse(dns.RcodeServerFailure), "answer is SERVFAIL"},
		"NXDOMAIN": {srvtest.Refuse(dns.RcodeNameError), "answer is NXDOMAIN"},
		"REFUSED":  {srvtest.Refuse(dns.RcodeRefused), "answer is REFUSED"},
		"silent":   {srvtest.Silent, "no answer within 2s"},
		"empty":    {srvtest.Replicas(60), "no usable SRV record in an answer of 0"},
		"cut":      {write(func(_ *dns.Msg, raw []byte) []byte { return raw[:len(raw)-3] }), "answer is damaged"},
		"noise": {write(func(q *dns.Msg, _ []byte) []byte {
			return append([]byte{byte(q.Id >> 8), byte(q.Id)}, strings.Repeat("\xc0\x0c\xff", 400)...)
		}), "answer is damaged"},
		"short":            {write(func(*dns.Msg, []byte) []byte { return []byte("x") }), "answer is damaged"},
		"another id":       {msg(func(m *dns.Msg) { m.Id++ }), "no answer within 2s"},
		"a question":       {msg(func(m *dns.Msg) { m.Response = false }), "answer is to another question"},
		"another question": {msg(func(m *dns.Msg) { m.Question[0].Name = "example.com." }), "answer is to another question"},
		"no question":      {msg(func(m *dns.Msg) { m.Question = nil }), "answer is to another question"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := srvtest.New(t, c.handler), srvtest.New(t, srvtest.Replicas(60, two))
			if found, err := resolve(t, bad.Addr, good.Addr); err != nil || !same(found, two) {
				t.Errorf("beside a good one: found %v, %v", found, err)
			}
			found, err := resolve(t, bad.Addr)
			want := fmt.Sprintf("SRV %s: %s: %s", srv.Name, bad.Addr, c.want)
			if len(found) != 0 || err == nil || err.Error() != want {
				t.Errorf("found %v, error %v, want %s", found, err, want)
			}
		})
	}
}

func TestNoServerListens(t *testing.T) {
	t.Parallel()
	s := srvtest.New(t, srvtest.Silent)
	closed := netip.AddrPortFrom(s.Addr.Addr(), 1)
	if _, err := resolve(t, closed); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}

// The end of its context ends Run, also while a server does not answer, without a report.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	once := sync.OnceFunc(func() { close(asked) })
	s := srvtest.New(t, func(dns.ResponseWriter, *dns.Msg) { once() })
	r := srv.New(srv.Options{Servers: []netip.AddrPort{s.Addr, s.Addr, s.Addr}, Log: zerolog.Nop(),
		Found: func([]netip.AddrPort) {}, Report: func(err error) { t.Errorf("reported %v", err) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	<-asked
	cancel()
	<-done
	if st := r.Stats(); st.Resolutions != 0 || s.Asked() != 1 {
		t.Errorf("%+v after %d questions", st, s.Asked())
	}
}
