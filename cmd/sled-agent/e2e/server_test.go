package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// given out so far, of the addresses that the servers listen at.
var addresses atomic.Uint32

// freeAddr returns an address that nothing else uses: of the loopback network,
// with a host part of its own where the system has all of that network.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	n := addresses.Add(1)
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d:12400", 64+pid>>6&0x7f, pid&0x3f<<2|int(n>>8), n&0xff)
	for _, addr := range []string{host, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		return netip.MustParseAddrPort(l.Addr().String())
	}
	t.Fatal("there is no free address")
	return netip.AddrPort{}
}

// control asks something of the server's own API, which no fault touches. The
// error is one of the connection.
func (v *vm) control(method, path string, body any) ([]byte, error) {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(trial.Bounded(v.t, trial.Patience), method, "http://"+v.addr.String()+"/sim/"+path,
		bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	got, err := exchange(req)
	if err == nil && got.status >= 300 {
		v.t.Fatalf("%s /sim/%s: %v", method, path, got)
	}
	return got.body, err
}

// born says how a server that has not yet been started will be: a line of shell
// that runs before it and may replace it or set its flags. Of the variables, sim is
// the simulator and addr the address to serve on.
func (v *vm) born(line string) {
	v.t.Helper()
	if err := os.WriteFile(filepath.Join(v.l.dir, v.zone()), []byte(line), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// lying is the line of shell for a server that lies from the start.
func lying(modes string) string {
	if modes == "" {
		return ""
	}
	return "flags='--mode " + modes + "'"
}

// lies puts faults in the place of those that are in force at the server.
func (v *vm) lies(modes ...string) {
	v.t.Helper()
	if modes == nil {
		modes = []string{}
	}
	if _, err := v.control("PUT", "faults", modes); err != nil {
		v.t.Fatal(err)
	}
}

// do makes something happen at the server. If it ends the server, that may be
// before it has answered.
func (v *vm) do(action string) {
	v.t.Helper()
	_, _ = v.control("POST", "do/"+action, nil)
}

// calls tells how often each call came to the server.
func (v *vm) calls() map[string]uint64 {
	v.t.Helper()
	text, err := v.control("GET", "state", nil)
	if err != nil {
		v.t.Fatal(err)
	}
	var s struct{ Calls map[string]uint64 }
	if err := json.Unmarshal(text, &s); err != nil {
		v.t.Fatal(err)
	}
	return s.Calls
}

// signal sends a signal to the zone's processes that mention the word.
func (v *vm) signal(word string, sig syscall.Signal) {
	v.t.Helper()
	sees(v.t)
	sent := 0
	for _, p := range processes(v.id.String()) {
		if bytes.Contains([]byte(p.line), []byte(word)) {
			if err := syscall.Kill(p.pid, sig); err != nil {
				v.t.Fatal(err)
			}
			sent++
		}
	}
	if sent == 0 {
		v.t.Fatalf("no process %q in the zone of VMM %s: %v", word, v.id, processes(v.id.String()))
	}
}

// A server that is named and no more is found beside the agent.
func TestServerBesideTheAgent(t *testing.T) {
	if backend == "illumos" {
		t.Skip("there the image names the server, not the configuration")
	}
	l := newSled(t, setup{server: []string{"propolis-sim", "run", "{addr}"}})
	v := l.launch()
	v.stop(time.Minute)
	v.endsDestroyed()
}
