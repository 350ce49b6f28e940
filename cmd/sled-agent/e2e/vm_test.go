package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A vm is a VMM that a test has made, and its Propolis server.
type vm struct {
	t    *testing.T
	l    *sled
	id   uuid.UUID
	addr netip.AddrPort
	body []byte
	// over is set once the test has seen it end.
	over bool
}

// register registers a new VMM.
func (l *sled) register() *vm {
	l.t.Helper()
	return l.registerWith(wire.BodyOptions{PropolisAddr: freeAddr(l.t), NICs: 1})
}

func (l *sled) registerWith(o wire.BodyOptions) *vm {
	l.t.Helper()
	v := &vm{t: l.t, l: l, id: uuid.New(), addr: o.PropolisAddr, body: wire.NewBody(o)}
	l.own.add(v)
	got := record(l.t, l.call("PUT", v.path(), v.body).wants(l.t, http.StatusOK).body)
	if got.VMM.Gen != 2 {
		l.t.Fatalf("registered with generation 2, the answer has %d", got.VMM.Gen)
	}
	return v
}

// launch registers a VMM and waits until it runs.
func (l *sled) launch() *vm {
	l.t.Helper()
	v := l.register()
	v.run()
	v.reaches(vmm.WireRunning)
	return v
}

// launchBorn is launch for a server that begins in a way of its own.
func (l *sled) launchBorn(how string) *vm {
	l.t.Helper()
	v := l.register()
	v.born(how)
	v.run()
	v.reaches(vmm.WireRunning)
	return v
}

// zone is the name of the VMM's zone.
func (v *vm) zone() string { return zonePrefix + v.id.String() }

// zonePrefix is what the names of the agent's zones begin with.
const zonePrefix = "oxz_propolis-server_"

func (v *vm) path() string { return "/vmms/" + v.id.String() }

// putState asks for a state in the wire's words, with a query such as "grace=1s".
func (v *vm) putState(target, query string) answer {
	v.t.Helper()
	return v.l.call("PUT", v.path()+"/state?"+query, target2body(target))
}

func target2body(target string) []byte {
	return fmt.Appendf(nil, `{"state":{"type":%q}}`, target)
}

// run starts the VMM, which is answered at once.
func (v *vm) run() {
	v.t.Helper()
	if got := v.putState("running", "").wants(v.t, http.StatusOK); got.updated(v.t) != nil {
		v.t.Fatalf("run was answered with %v, want null", got)
	}
}

// A stop is one that was accepted, somewhere between two moments.
type stop struct {
	sent, answered time.Time
	grace          time.Duration
}

// stop stops the VMM with a grace period of its own.
func (v *vm) stop(grace time.Duration) stop {
	v.t.Helper()
	s := stop{sent: time.Now(), grace: grace}
	got := v.putState("stopped", "grace="+grace.String()).wants(v.t, http.StatusOK)
	s.answered = time.Now()
	if got.took > stateAnswer {
		v.t.Errorf("a stop was answered after %v", got.took)
	}
	state := got.updated(v.t).VMM.State
	if state != vmm.WireStopping && state != vmm.WireDestroyed {
		v.t.Errorf("a stop was answered with the state %s", state)
	}
	return s
}

// state reads the VMM's state.
func (v *vm) state() answer {
	v.t.Helper()
	return v.l.call("GET", v.path()+"/state", nil)
}

// status is what the admin API says of the VMM.
func (v *vm) status() vmm.Status {
	v.t.Helper()
	s, err := v.l.admin.Show(trial.Bounded(v.t, trial.Patience), v.id)
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// unregister gives the VMM back to Nexus and returns the answer's record.
func (v *vm) unregister() *vmm.Record {
	v.t.Helper()
	return v.l.call("DELETE", v.path(), nil).wants(v.t, http.StatusOK).updated(v.t)
}

// reaches waits until Nexus knows the VMM in this state.
func (v *vm) reaches(state vmm.WireState) {
	v.t.Helper()
	v.row(trial.Patience, string(state), func(r nexussim.Row) bool { return r.State() == state })
}

// row waits until Nexus's row of the VMM is the wanted one.
func (v *vm) row(within time.Duration, what string, wanted func(nexussim.Row) bool) nexussim.Row {
	v.t.Helper()
	err := v.l.nexus.Wait(trial.Bounded(v.t, within), v.id, wanted)
	row, _ := v.l.nexus.Row(v.id)
	if err != nil {
		v.l.runs()
		v.t.Fatalf("Nexus does not know VMM %s as %s within %v: %s", v.id, what, within, describe(row))
	}
	return row
}

// event returns the VMM's first event of a kind.
func (v *vm) event(kind string) admin.NamedEvent {
	v.t.Helper()
	return v.l.past.await(v.t, v.id, trial.Patience, kind, func(e admin.NamedEvent) bool { return e.Kind == kind })
}
