// Package srvtest has a DNS server for tests, on real sockets.
package srvtest

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
)

// A Handler answers a question, or not at all. It may be called by several goroutines.
type Handler func(w dns.ResponseWriter, q *dns.Msg)

// A Server answers over UDP and TCP at one address.
type Server struct {
	Addr    netip.AddrPort
	handler atomic.Pointer[Handler]
	asked   atomic.Int64
}

// New starts a server that ends with the test.
func New(t testing.TB, h Handler) *Server {
	t.Helper()
	s := new(Server)
	s.Handle(h)
	tcp, udp := listen(t)
	s.Addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	serve := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		s.asked.Add(1)
		(*s.handler.Load())(w, q)
	})
	for _, server := range []*dns.Server{{PacketConn: udp, Handler: serve}, {Listener: tcp, Handler: serve}} {
		started, done := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			_ = server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			_ = server.Shutdown()
			<-done
		})
	}
	return s
}

// listen opens both sockets on one port.
func listen(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if udp, err := net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return tcp, udp
		}
		_ = tcp.Close() // the port is in use over UDP
	}
}

// Handle replaces the handler.
func (s *Server) Handle(h Handler) { s.handler.Store(&h) }

// Asked returns the number of questions so far.
func (s *Server) Asked() int { return int(s.asked.Load()) }

// Replicas answers a question for Nexus with these replicas, which have addresses of IPv4 in
// the additional records, and any other question with no records.
func Replicas(ttl uint32, replicas ...netip.AddrPort) Handler {
	return func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(nexussim.Answer(q, ttl, replicas...)) }
}

// Refuse answers every question with an rcode.
func Refuse(rcode int) Handler {
	return func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) }
}

// Silent answers nothing.
func Silent(dns.ResponseWriter, *dns.Msg) {}
