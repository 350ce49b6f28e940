package nexussim

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// ServiceName is the name under which DNS has Nexus's replicas.
const ServiceName = "_nexus._tcp.control-plane.oxide.internal."

// dnsTTL is the lifetime of an answer in seconds.
const dnsTTL = 5

// ListenDNS opens a DNS server at host:port, over UDP and TCP, which has this Nexus as the
// only replica. It returns its address. It comes after Listen and may be called once; Close
// ends it.
func (s *Server) ListenDNS(addr string) (string, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	replica, err := netip.ParseAddrPort(s.gate.addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s for DNS: no address of Nexus: %w", addr, err)
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s for DNS: %w", addr, err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		_ = tcp.Close() // nothing was served
		return "", fmt.Errorf("listen on %s for DNS: %w", addr, err)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.answerDNS(w, q, replica) })
	for _, server := range []*dns.Server{{PacketConn: udp, Handler: answer}, {Listener: tcp, Handler: answer}} {
		started, done := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			_ = server.ActivateAndServe() // it ends with Close
		}()
		<-started
		s.gate.dns = append(s.gate.dns, func() {
			_ = server.Shutdown()
			<-done
		})
	}
	return tcp.Addr().String(), nil
}

func (s *Server) answerDNS(w dns.ResponseWriter, q *dns.Msg, replica netip.AddrPort) {
	m := Answer(q, dnsTTL, replica)
	switch {
	case s.has(FaultDNSSilent):
		return
	case s.has(FaultDNSFail):
		m = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	case s.has(FaultDNSEmpty):
		m = new(dns.Msg).SetReply(q)
	}
	_ = w.WriteMsg(m) // who asked may have gone
}

// Answer returns the answer to a question for Nexus with these replicas, whose addresses are
// in the additional records. To any other question there are no records.
func Answer(q *dns.Msg, ttl uint32, replicas ...netip.AddrPort) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	if len(q.Question) != 1 || q.Question[0].Name != ServiceName {
		return m
	}
	header := func(name string, kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	for _, r := range replicas {
		name := "nexus-" + r.Addr().String() + ".test."
		m.Answer = append(m.Answer, &dns.SRV{Hdr: header(ServiceName, dns.TypeSRV), Port: r.Port(), Target: name})
		if r.Addr().Is4() {
			m.Extra = append(m.Extra, &dns.A{Hdr: header(name, dns.TypeA), A: r.Addr().AsSlice()})
		} else {
			m.Extra = append(m.Extra, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: r.Addr().AsSlice()})
		}
	}
	return m
}
