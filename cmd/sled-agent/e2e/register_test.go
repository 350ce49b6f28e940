package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A registration may be repeated: it answers with the state as it is.
func TestRegisterAgain(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	if got := record(t, l.call("PUT", v.path(), v.body).wants(t, 200).body).VMM; got.State != vmm.WireStarting || got.Gen != 2 {
		t.Errorf("registered again, it is %v", got)
	}
	v.run()
	v.reaches(vmm.WireRunning)
	if got := record(t, l.call("PUT", v.path(), v.body).wants(t, 200).body).VMM; got.State != vmm.WireRunning {
		t.Errorf("registered again while it runs, it is %v", got)
	}
	v.lies("ignore-stop")
	s := v.stop(grace)
	if got := record(t, l.call("PUT", v.path(), v.body).wants(t, 200).body).VMM; got.State != vmm.WireStopping {
		t.Errorf("registered again while it stops, it is %v", got)
	}
	v.removedOnTime(s)
	v.endsDestroyed()
}

// Another instance's VMM of the same id is a conflict, and nothing changes.
func TestRegisterAnotherInstance(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	other := wire.NewBody(wire.BodyOptions{InstanceID: uuid.New(), PropolisAddr: v.addr})
	l.call("PUT", v.path(), other).wants(t, http.StatusConflict)
	if got := record(t, v.state().wants(t, 200).body).VMM.State; got != vmm.WireRunning {
		t.Errorf("after the conflict the VMM is %s", got)
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A run may be repeated, too.
func TestRunAgain(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	for range 3 {
		v.run()
	}
	v.reaches(vmm.WireRunning)
	v.run()
	if n := v.calls()["ensure"]; n != 1 {
		t.Errorf("Propolis was told %d times to make the VM", n)
	}
	if n := v.count("zone-created"); n != 1 {
		t.Errorf("%d zones were made", n)
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}

// Of a VMM that nobody has registered, everything is answered 404 with its code.
func TestUnknownVMM(t *testing.T) {
	l := sharedSled(t)
	path := "/vmms/" + uuid.NewString()
	for _, ask := range []struct {
		method, path string
		body         []byte
	}{
		{"GET", path + "/state", nil},
		{"PUT", path + "/state", target2body("running")},
		{"PUT", path + "/state", target2body("stopped")},
		{"PUT", path + "/state?grace=1s", target2body("stopped")},
		{"PUT", path + "/state", target2body("reboot")},
		{"PUT", path + "/state", migrateBody("[::1]:12400")},
		{"POST", path + "/disks/" + uuid.NewString() + "/snapshot", snapshotBody()},
	} {
		if got := l.call(ask.method, ask.path, ask.body); got.status != 404 || got.code() != "NO_SUCH_INSTANCE" {
			t.Errorf("%s %s %s: got %v, want 404 NO_SUCH_INSTANCE", ask.method, ask.path, ask.body, got)
		}
	}
}

// Two VMMs with one address: the second cannot be started, and the first does not
// notice.
func TestTwoVMMsWithOneAddress(t *testing.T) {
	l := sharedSled(t)
	first := l.launch()
	before, puts := record(t, first.state().body), first.calls()
	second := l.registerWith(wire.BodyOptions{PropolisAddr: first.addr})
	second.run()
	second.endsFailed()
	after := record(t, first.state().wants(t, 200).body)
	if *after != *before {
		t.Errorf("the first VMM was %v and is %v", before, after)
	}
	now := first.calls()
	for _, call := range []string{"ensure", "run", "stop", "reboot"} {
		if now[call] != puts[call] {
			t.Errorf("the first VMM's server was called %q for the second: %v", call, now)
		}
	}
	first.stop(time.Minute)
	first.endsDestroyed()
}

// So it is if both start at the same time: one runs, and its server only ever had
// one VM to make.
func TestTwoVMMsRaceForOneAddress(t *testing.T) {
	l := sharedSled(t)
	addr := freeAddr(t)
	a, b := l.registerWith(wire.BodyOptions{PropolisAddr: addr}), l.registerWith(wire.BodyOptions{PropolisAddr: addr})
	a.run()
	b.run()
	loser, winner := a, b
	trial.Until(t, trial.Patience, func() string {
		switch {
		case l.stateOf(a).Terminal():
			loser, winner = a, b
		case l.stateOf(b).Terminal():
			loser, winner = b, a
		default:
			return "none of the two has failed"
		}
		return ""
	})
	loser.endsFailed()
	winner.reaches(vmm.WireRunning)
	if n := winner.calls()["ensure"]; n != 1 {
		t.Errorf("the winner's server was told %d times to make a VM", n)
	}
	winner.stop(time.Minute)
	winner.endsDestroyed()
}

// stateOf returns the state that Nexus knows of a VMM.
func (l *sled) stateOf(v *vm) vmm.WireState {
	row, _ := l.nexus.Row(v.id)
	return row.State()
}
