package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// apiVersion is the one that Nexus speaks.
const apiVersion = "48.0.0"

// never is a grace period that no test lives to see the end of.
const never = 30 * time.Minute

// A vm is a VMM and its Propolis server.
type vm struct {
	t    testing.TB
	l    *sled
	id   uuid.UUID
	addr netip.AddrPort
	body []byte

	mu      sync.Mutex
	server  process   // the VM's, once it was seen to have one
	ended   time.Time // when the server was seen to have ended
	mayEnd  bool      // the VM was told to end, or ends by itself
	hand    bool      // Nexus has unregistered it
	seenGen uint64    // the greatest generation that was read
}

// newVM makes a VMM that the agent knows nothing of yet.
func (l *sled) newVM(t testing.TB) *vm {
	v := &vm{t: t, l: l, id: uuid.New(), addr: freeAddr(t)}
	v.body = wire.NewBody(wire.BodyOptions{PropolisAddr: v.addr})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vms = append(l.vms, v)
	return v
}

// An answer is one of the sled API's.
type answer struct {
	status int
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// ask sends a request to the sled API. An error is one of the connection.
func (l *sled) ask(ctx context.Context, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.addr+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("api-version", apiVersion)
	return exchange(l.client, req)
}

func exchange(client *http.Client, req *http.Request) (answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, body}, err
}

// insist sends a request again and again until it is answered by an agent that
// has loaded its ledger. lost tells whether an earlier try may have been heard.
func (v *vm) insist(method, path string, body []byte) (got answer, lost bool) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), trial.Patience)
	defer cancel()
	trial.Until(v.t, trial.Patience, func() string {
		var err error
		got, err = v.l.ask(ctx, method, path, body)
		if err != nil {
			lost = true
			return err.Error()
		}
		if got.status == http.StatusServiceUnavailable {
			return got.String()
		}
		return ""
	})
	return got, lost
}

func (v *vm) path() string { return "/vmms/" + v.id.String() }

// register makes the VMM known and sends a witness, whose work ends with the test.
func (v *vm) register() {
	v.t.Helper()
	if got, _ := v.insist("PUT", v.path(), v.body); got.status != http.StatusOK {
		v.t.Fatalf("register was answered with %v", got)
	}
	v.witnessed()
}

func (v *vm) putState(target, query string) (got answer, lost bool) {
	v.t.Helper()
	return v.insist("PUT", v.path()+"/state?"+query, fmt.Appendf(nil, `{"state":{"type":%q}}`, target))
}

// run starts the VMM. A VMM that has been started by a try whose answer was lost
// may be over already.
func (v *vm) run() {
	v.t.Helper()
	if got, lost := v.putState("running", ""); got.status != http.StatusOK && !(lost && v.mayHaveEnded()) {
		v.t.Fatalf("run was answered with %v", got)
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
	v.pin()
	v.endsNow()
	s := stop{sent: time.Now(), grace: grace}
	got, lost := v.putState("stopped", "grace="+grace.String())
	s.answered = time.Now()
	if got.status != http.StatusOK && !(lost && got.status == http.StatusNotFound && v.acknowledged()) {
		v.t.Fatalf("stop was answered with %v", got)
	}
	return s
}

// launch registers and starts the VMM and waits until it runs.
func (v *vm) launch() {
	v.t.Helper()
	v.register()
	v.run()
	v.reaches(vmm.WireRunning)
	v.pin()
	v.l.mark(launchedMark)
}

// start is launch for a Nexus that may be unwell.
func (v *vm) start() {
	v.t.Helper()
	v.register()
	v.run()
	v.runsStill()
}

// runsStill waits until the agent says that the VM runs.
func (v *vm) runsStill() {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		if state := v.record().VMM.State; state != vmm.WireRunning {
			return fmt.Sprintf("VMM %s is %s", v.id, state)
		}
		return ""
	})
	v.pin()
}

// dwell lets some of the VM's life pass.
func (v *vm) dwell(d time.Duration) { <-time.After(d) }

// unregister hands the VMM to Nexus.
func (v *vm) unregister() {
	v.t.Helper()
	v.pin()
	v.endsNow()
	v.mu.Lock()
	v.hand = true
	v.mu.Unlock()
	if got, _ := v.insist("DELETE", v.path(), nil); got.status != http.StatusOK {
		v.t.Fatalf("unregister was answered with %v", got)
	}
}

// endsNow tells the witness that from now on the VM may end.
func (v *vm) endsNow() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mayEnd = true
}

func (v *vm) mayHaveEnded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mayEnd
}

// acknowledged tells whether Nexus has acknowledged the VMM's end.
func (v *vm) acknowledged() bool {
	row, _ := v.l.nexus.Row(v.id)
	for _, seen := range row.History {
		if seen.State.Terminal() && seen.AckedAt != nil {
			return true
		}
	}
	return false
}

// reaches waits until Nexus knows the VMM in this state.
func (v *vm) reaches(state vmm.WireState) {
	v.t.Helper()
	v.row(string(state), func(r nexussim.Row) bool { return r.State() == state })
}

// row waits until Nexus's row of the VMM is the wanted one.
func (v *vm) row(what string, wanted func(nexussim.Row) bool) nexussim.Row {
	v.t.Helper()
	err := v.l.nexus.Wait(trial.Bounded(v.t, trial.Patience), v.id, wanted)
	row, _ := v.l.nexus.Row(v.id)
	if err != nil {
		v.t.Fatalf("Nexus does not know VMM %s as %s: %s", v.id, what, described(row))
	}
	return row
}

// record reads the VMM's state from the agent.
func (v *vm) record() vmm.Record {
	v.t.Helper()
	got, _ := v.insist("GET", v.path()+"/state", nil)
	var r vmm.Record
	if err := json.Unmarshal(got.body, &r); err != nil || got.status != http.StatusOK {
		v.t.Fatalf("the state was answered with %v", got)
	}
	return r
}

// described writes a row in one line.
func described(row nexussim.Row) string {
	line := fmt.Sprintf("acknowledged %d:", row.Acked)
	for _, s := range row.History {
		line += fmt.Sprintf(" %s(%d)x%d", s.State, s.Gen, s.Times)
	}
	return line
}
