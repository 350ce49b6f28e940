package nexussim

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/certs"
	"github.com/sledagent/sledagent/internal/certs/certstest"
)

// The DNS server has this Nexus, over UDP and TCP, unless a fault says otherwise.
func TestDNS(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	t.Cleanup(s.Close)
	if addr, err := s.ListenDNS("127.0.0.1:0"); err == nil {
		t.Errorf("before Listen: %s", addr)
	}
	nexus, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.ListenDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(proto, name string, budget time.Duration) (*dns.Msg, error) {
		c := dns.Client{Net: proto, Timeout: budget}
		m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeSRV), addr)
		return m, err
	}
	for _, proto := range []string{"udp", "tcp"} {
		m, err := ask(proto, ServiceName, time.Minute)
		if err != nil || len(m.Answer) != 1 || len(m.Extra) != 1 {
			t.Fatalf("%s: %v, %v", proto, m, err)
		}
		record, _ := m.Answer[0].(*dns.SRV)
		host, _ := m.Extra[0].(*dns.A)
		if record == nil || host == nil || host.Hdr.Name != record.Target || !strings.HasSuffix(nexus, ":"+dns.Field(record, 3)) || host.A.String() != "127.0.0.1" {
			t.Errorf("%s: Nexus at %s is %v, %v", proto, nexus, record, host)
		}
		if m, err := ask(proto, "other.test.", time.Minute); err != nil || len(m.Answer) != 0 {
			t.Errorf("%s: another name: %v, %v", proto, m, err)
		}
	}
	for fault, code := range map[string]int{FaultDNSEmpty: dns.RcodeSuccess, FaultDNSFail: dns.RcodeServerFailure} {
		if err := s.SetFault(fault); err != nil {
			t.Fatal(err)
		}
		if m, err := ask("udp", ServiceName, time.Minute); err != nil || m.Rcode != code || len(m.Answer) != 0 {
			t.Errorf("%s: %v, %v", fault, m, err)
		}
	}
	if err := s.SetFault(FaultDNSSilent); err != nil {
		t.Fatal(err)
	}
	if m, err := ask("udp", ServiceName, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v, %v", FaultDNSSilent, m, err)
	}
}

// With TLS, only a client with a certificate is answered, also after the port was closed.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca, dir := certstest.New(t), t.TempDir()
	own := ca.Issue(t, "nexus")
	store := certs.New(certs.Files{Cert: certstest.Write(t, dir, "cert", own.Cert), Key: certstest.Write(t, dir, "key", own.Key),
		CA: certstest.Write(t, dir, "ca", ca.PEM)}, zerolog.Nop())
	if err := store.Load(); err != nil {
		t.Fatal(err)
	}
	s := New(Options{TLS: store.Server()})
	t.Cleanup(s.Close)
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	get := func(anonymous bool) error {
		config := ca.Client(t, ca.Issue(t, "agent"))
		if anonymous {
			config.Certificates = nil
		}
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/vmms")
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	for range 2 {
		if err := get(false); err != nil {
			t.Error(err)
		}
		if err := get(true); err == nil {
			t.Error("a client without a certificate is answered")
		}
		if err := errors.Join(s.SetFault(FaultCut), get(false)); err == nil {
			t.Errorf("%s: answered", FaultCut)
		}
		if err := errors.Join(s.SetFault(FaultRefuse), s.SetFault()); err != nil {
			t.Fatal(err)
		}
	}
}
