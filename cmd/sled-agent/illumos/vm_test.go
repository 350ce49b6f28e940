package illumos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// A vm is a VMM that a test has made.
type vm struct {
	*sled
	id   uuid.UUID
	zone string
	addr netip.AddrPort // its Propolis server's
	// over is set once the test has seen it end.
	over bool
}

// register registers a new VMM with a NIC for its guest. It is called by the
// test's own goroutine.
func (l *sled) register() *vm {
	l.t.Helper()
	v := &vm{sled: l, id: uuid.New(), addr: freeAddr(l.t)}
	v.zone = prefix + v.id.String()
	l.vms = append(l.vms, v)
	v.call("PUT", "", wire.NewBody(wire.BodyOptions{PropolisAddr: v.addr, NICs: 1}))
	return v
}

// launch registers VMMs and waits until they run.
func (l *sled) launch(n int) []*vm {
	l.t.Helper()
	vms := make([]*vm, n)
	for i := range vms {
		vms[i] = l.register()
		vms[i].run()
	}
	for _, v := range vms {
		v.reaches(vmm.WireRunning)
	}
	return vms
}

func (v *vm) run() {
	v.t.Helper()
	v.call("PUT", "/state", []byte(`{"state":{"type":"running"}}`))
}

// A stop is one that was accepted, somewhere between two moments.
type stop struct {
	sent, answered time.Time
	grace          time.Duration
}

func (v *vm) stop(grace time.Duration) stop {
	v.t.Helper()
	s := stop{sent: time.Now(), grace: grace}
	v.call("PUT", "/state?grace="+grace.String(), []byte(`{"state":{"type":"stopped"}}`))
	s.answered = time.Now()
	return s
}

func (v *vm) unregister() {
	v.t.Helper()
	v.call("DELETE", "", nil)
}

// call sends a request about the VMM to the sled API; it must succeed.
func (v *vm) call(method, path string, body []byte) {
	v.t.Helper()
	if status, text := v.ask(method, "http://"+v.agent.addr+"/vmms/"+v.id.String()+path, body); status != http.StatusOK {
		v.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

// ask sends a request as Nexus does and returns the answer.
func (l *sled) ask(method, url string, body []byte) (status int, text string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience+10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("api-version", "48.0.0")
	req.Header.Set("content-type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// lies makes the VMM's server do something wrong from now on.
func (v *vm) lies(mode string) {
	v.t.Helper()
	if status, text := v.ask("PUT", "http://"+v.addr.String()+"/sim/faults", fmt.Appendf(nil, "[%q]", mode)); status >= 300 {
		v.t.Fatalf("%s: %d %s", mode, status, text)
	}
}

// status is what the admin API says of the VMM.
func (v *vm) status() vmm.Status {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := v.admin.Show(ctx, v.id)
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// event waits for the VMM's first event of a kind.
func (v *vm) event(kind string) (found vmm.Event) {
	v.t.Helper()
	v.until(kind+" of VMM "+v.id.String(), func() bool {
		for _, e := range v.status().Events {
			if e.Kind == kind {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// reaches waits until Nexus knows the VMM in this state, and no terminal one.
func (v *vm) reaches(state vmm.WireState) {
	v.t.Helper()
	row := v.row(string(state), func(r nexussim.Row) bool { return r.State() == state || r.State().Terminal() })
	if row.State() != state {
		v.t.Fatalf("VMM %s is %s, want %s", v.id, row.State(), state)
	}
}

// ends waits until Nexus has acknowledged the VMM's end and checks which it is
// (T) and that the agent no longer knows the VMM (N).
func (v *vm) ends(state vmm.WireState) {
	v.t.Helper()
	row := v.row("ended", ended)
	if row.State() != state {
		v.t.Errorf("VMM %s ended %s, want %s", v.id, row.State(), state)
	}
	v.until("the agent has forgotten the VMM", func() bool {
		status, _ := v.ask("GET", "http://"+v.agent.addr+"/vmms/"+v.id.String()+"/state", nil)
		return status == http.StatusNotFound
	})
	v.over = true
}

// ended tells whether Nexus has acknowledged an end.
func ended(r nexussim.Row) bool { return r.State().Terminal() && r.Acked >= r.Gen() }

func (v *vm) row(what string, wanted func(nexussim.Row) bool) nexussim.Row {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := v.nexus.Wait(ctx, v.id, wanted)
	row, _ := v.nexus.Row(v.id)
	if err != nil {
		v.t.Fatalf("Nexus does not know VMM %s as %s: it is %s", v.id, what, row.State())
	}
	return row
}

// slack is what promise D allows a removal to begin after the deadline.
const slack = time.Second

// removedOnTime checks that the zone's removal began at the stop's deadline (D).
func (v *vm) removedOnTime(s stop) {
	v.t.Helper()
	began := v.event("removal").At
	if early := s.sent.Add(s.grace).Sub(began); early > 0 {
		v.t.Errorf("the removal began %v before the deadline", early)
	}
	late := began.Sub(s.answered.Add(s.grace))
	v.t.Logf("the removal began %d to %d ms after the deadline", late.Milliseconds(),
		began.Sub(s.sent.Add(s.grace)).Milliseconds())
	if late > slack {
		v.t.Errorf("the removal began %v after the deadline", late)
	}
}

// given out so far, of the addresses that the servers listen at.
var addresses atomic.Uint32

// freeAddr returns an address that nothing else uses: of the loopback network,
// with a host part of its own where the system has all of that network.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	n, pid := addresses.Add(1), os.Getpid()
	own := fmt.Sprintf("127.%d.%d.%d:12400", 64+pid>>6&0x7f, pid&0x3f<<2|int(n>>8), n&0xff)
	for _, addr := range []string{own, "127.0.0.1:0"} {
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return netip.MustParseAddrPort(l.Addr().String())
		}
	}
	t.Fatal("there is no free address")
	return netip.AddrPort{}
}
