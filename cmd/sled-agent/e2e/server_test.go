package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// addresses counts the addresses returned by freeAddr.
var addresses atomic.Uint32

// freeAddr returns an unused address that is never returned again: a loopback address, with its own host
// part where the system has the whole loopback network.
func freeAddr(t testing.TB) netip.AddrPort {
	t.Helper()
	n, pid := addresses.Add(1), os.Getpid()
	own := fmt.Sprintf("127.%d.%d.%d:%d", 64+pid>>6&0x7f, pid&0x3f<<2|int(n>>8&3), n&0xff, 12400+n>>10)
	for _, addr := range []string{own, "127.0.0.1:0"} {
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

// control calls the simulator's own API, which no fault affects.
func (v *vm) control(method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(bounded(v.t), method, "http://"+v.serverAddr.String()+"/sim/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	got, err := v.exchange(req)
	switch {
	case err != nil:
		return err
	case got.status >= 300:
		return fmt.Errorf("%s /sim/%s: %v", method, path, got)
	case into != nil:
		return json.Unmarshal(got.body, into)
	}
	return nil
}

// serverScript sets a shell line that runs before a server that has not yet been started. It may replace the
// server or set its flags. The variable sim is the simulator, addr the address to serve on.
func (v *vm) serverScript(line string) {
	v.t.Helper()
	must(v.t, os.WriteFile(filepath.Join(v.dir, v.zone()), []byte(line), 0o600))
}

// withFaults returns the shell line for a server with initial faults.
func withFaults(modes ...string) string {
	if len(modes) == 0 {
		return ""
	}
	return "flags='--mode " + strings.Join(modes, ",") + "'"
}

// setFaults replaces the faults in force at the server.
func (v *vm) setFaults(modes ...string) {
	v.t.Helper()
	if modes == nil {
		modes = []string{}
	}
	must(v.t, v.control("PUT", "faults", modes, nil))
}

// do performs an action of the server. If that ends the server, there may be no answer.
func (v *vm) do(action string) { _ = v.control("POST", "do/"+action, nil, nil) }

// calls returns how often each call was made to the server.
func (v *vm) calls() map[string]uint64 {
	v.t.Helper()
	var s struct{ Calls map[string]uint64 }
	must(v.t, v.control("GET", "state", nil, &s))
	return s.Calls
}

// signal sends a signal to the zone's processes that contain the word.
func (v *vm) signal(word string, sig syscall.Signal) {
	v.t.Helper()
	skipWithoutProc(v.t)
	sent := 0
	for _, p := range processes(v.id.String()) {
		if strings.Contains(p.line, word) {
			if syscall.Kill(p.pid, sig) == nil { // It may have ended.
				sent++
			}
		}
	}
	if sent == 0 {
		v.t.Fatalf("no process %q in the zone of VMM %s: %v", word, v.id, processes(v.id.String()))
	}
}

// A server named without a path is found beside the agent.
func TestServerBesideTheAgent(t *testing.T) {
	if backendName == "illumos" {
		t.Skip("there the image names the server, not the configuration")
	}
	newHarness(t, setup{server: []string{"propolis-sim", "run", "{addr}"}}).launch().stopAndEnd()
}

// A fakeServer answers in place of a zone's server, which is a program that does not listen. It makes VMs,
// accepts every request, and has a monitor that answers at once as the test wants.
type fakeServer struct {
	says func(wanted uint64) string
	// asked counts the monitor's calls.
	asked atomic.Int64
}

func (p *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // A client that hangs up gets no answer anyway.
	w.Header().Set("content-type", "application/json")
	switch r.Method + r.URL.Path {
	case "PUT/instance":
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"migrate":null}`)
	case "PUT/instance/state":
		w.WriteHeader(http.StatusNoContent)
	case "GET/instance/state-monitor":
		p.asked.Add(1)
		var wanted uint64
		_, _ = fmt.Sscanf(string(body), `{"gen":%d}`, &wanted) // Any body gets an answer.
		fmt.Fprint(w, p.says(wanted))
	default:
		fmt.Fprint(w, `{}`)
	}
}

// noServer is the shell line for a server that does not listen.
const noServer = "exec sleep 3600"

// fake registers and starts a VMM and serves in place of its server.
func (h *harness) fake(says func(wanted uint64) string) (*vm, *fakeServer) {
	h.t.Helper()
	v := h.registerWith(noServer)
	v.run()
	v.event("zone-booted")
	listener, err := net.Listen("tcp", v.serverAddr.String())
	must(h.t, err)
	p := &fakeServer{says: says}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: p}}
	s.Start()
	h.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return v, p
}

// launchFake is fake for a server whose VM reaches Running.
func (h *harness) launchFake(says func(wanted uint64) string) (*vm, *fakeServer) {
	h.t.Helper()
	v, p := h.fake(says)
	v.reaches(vmm.WireRunning)
	return v, p
}

// monitorAnswer returns an answer of a state monitor.
func monitorAnswer(gen uint64, state string) string {
	return fmt.Sprintf(`{"gen":%d,"state":%q,"migration":{"migration_in":null,"migration_out":null}}`, gen, state)
}
