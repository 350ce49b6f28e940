package srv_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/publish/srv"
	"github.com/sledagent/sledagent/agent/publish/srv/srvtest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// While records are published one after the other, Nexus moves to another address, then DNS
// fails, then Nexus moves back: each record arrives.
func TestNexusMovesWhileRecordsArePublished(t *testing.T) {
	t.Parallel()
	first, at1 := simulated(t)
	second, at2 := simulated(t)
	server := srvtest.New(t, srvtest.Refuse(dns.RcodeServerFailure))
	c := publish.New(publish.Config{Named: true, ShunFor: time.Millisecond})
	defer c.Close(context.Background())
	sets := make(chan []netip.AddrPort, 8)
	reports := make(chan error, 100)
	r := srv.New(srv.Options{Servers: []netip.AddrPort{server.Addr}, Log: zerolog.Nop(),
		Found: func(all []netip.AddrPort) {
			var bases []string
			for _, a := range all {
				bases = append(bases, "http://"+a.String())
			}
			c.SetReplicas(bases)
			sets <- all
		},
		Report: func(err error) {
			select {
			case reports <- err:
			default:
			}
		}})
	srv.Hurry(r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	defer func() { cancel(); <-done }()
	id, gen := uuid.New(), uint64(0)
	send := func(to *nexussim.Server) {
		t.Helper()
		for gen++; ; {
			if a := c.Put(t.Context(), id, running(gen)); a.Verdict == publish.Acked {
				break
			}
		}
		if row, ok := to.Row(id); !ok || row.Record.VMM.Gen != gen {
			t.Errorf("Nexus has %+v, not generation %d", row, gen)
		}
	}
	if err := <-reports; err == nil {
		t.Error("no error was reported")
	}
	if a := c.Put(t.Context(), id, running(1)); a.Verdict != publish.CannotTell || a.Sent != 0 {
		t.Errorf("before the first answer: %+v", a)
	}
	server.Handle(srvtest.Replicas(0, at1))
	<-sets
	send(first)
	server.Handle(srvtest.Replicas(0, at2))
	<-sets
	send(second)
	server.Handle(srvtest.Refuse(dns.RcodeNameError))
	for err := error(nil); err == nil || !strings.Contains(err.Error(), "NXDOMAIN"); {
		err = <-reports
	}
	send(second)
	server.Handle(srvtest.Replicas(0, at1))
	<-sets
	send(first)
}

func simulated(t *testing.T) (*nexussim.Server, netip.AddrPort) {
	s := nexussim.New(nexussim.Options{})
	t.Cleanup(s.Close)
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, netip.MustParseAddrPort(addr)
}

func running(gen uint64) vmm.Record {
	return vmm.Record{VMM: vmm.Runtime{State: vmm.WireRunning, Gen: gen, Updated: time.Now()}}
}
