package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A fakeServer answers in place of a zone's server, which is a program that does
// not listen. It makes VMs, accepts every request and has a monitor that answers
// at once with whatever the test wants.
type fakeServer struct {
	says func(wanted uint64) string
	// asked counts the monitor's calls, stops those to stop.
	asked, stops atomic.Int64
}

func (p *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // A client that hangs up gets no answer anyway.
	w.Header().Set("content-type", "application/json")
	switch r.Method + r.URL.Path {
	case "PUT/instance":
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"migrate":null}`)
	case "PUT/instance/state":
		if strings.Contains(string(body), "Stop") {
			p.stops.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	case "GET/instance/state-monitor":
		p.asked.Add(1)
		var wanted uint64
		_, _ = fmt.Sscanf(string(body), `{"gen":%d}`, &wanted) // Whatever it is, there is an answer.
		fmt.Fprint(w, p.says(wanted))
	default:
		fmt.Fprint(w, `{}`)
	}
}

// fake registers and starts a VMM and serves in its server's place.
func (l *sled) fake(says func(wanted uint64) string) (*vm, *fakeServer) {
	l.t.Helper()
	v := l.register()
	v.born("exec sleep 3600")
	v.run()
	v.event("zone-booted")
	listener, err := net.Listen("tcp", v.addr.String())
	if err != nil {
		l.t.Fatal(err)
	}
	p := &fakeServer{says: says}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: p}}
	s.Start()
	l.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return v, p
}

// launchFake is fake for a server whose VM comes to run.
func (l *sled) launchFake(says func(wanted uint64) string) (*vm, *fakeServer) {
	l.t.Helper()
	v, p := l.fake(says)
	v.reaches(vmm.WireRunning)
	return v, p
}

// monitorAnswer is one of a state monitor.
func monitorAnswer(gen uint64, state string) string {
	return fmt.Sprintf(`{"gen":%d,"state":%q,"migration":{"migration_in":null,"migration_out":null}}`, gen, state)
}
