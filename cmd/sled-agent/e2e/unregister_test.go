package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// An unregister answers with the VMM's end, after which Nexus hears nothing more
// of it and nothing is left.
func TestUnregister(t *testing.T) {
	l := sharedSled(t)
	for name, prepare := range map[string]func(*sled) *vm{
		"a VMM that was never started": (*sled).register,
		"a VMM that runs":              (*sled).launch,
		"a VMM that is being started":  func(l *sled) *vm { v := l.register(); v.run(); return v },
		"a VMM whose start hangs": func(l *sled) *vm {
			v := l.register()
			v.born(lying("hang-ensure"))
			v.run()
			v.event("zone-booted")
			return v
		},
		"a VMM that is being stopped": func(l *sled) *vm {
			v := l.launch()
			v.lies("hang-stop")
			v.stop(never)
			return v
		},
		"a VMM whose server hangs": func(l *sled) *vm {
			v := l.launch()
			v.lies("hang-all")
			return v
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := prepare(l)
			before := record(t, v.state().body).VMM.Gen
			end := v.unregister()
			want := vmm.WireFailed
			if v.count("stop") > 0 {
				want = vmm.WireDestroyed // A stop that was asked for ends so however it ends (T).
			}
			if end == nil || end.VMM.State != want || end.VMM.Gen <= before {
				t.Fatalf("the unregister was answered with %v, want %s after generation %d", end, want, before)
			}
			answered := time.Now()
			v.gone()
			if after := v.unregister(); after != nil && after.VMM != end.VMM {
				t.Errorf("a second unregister was answered with %v, the first with %v", after, end)
			}
			v.forgotten()
			v.heardNoMore(answered, end.VMM.Gen)
		})
	}
}

// onTheWay is how long an update that was sent before an unregister was answered
// may take to arrive.
const onTheWay = 200 * time.Millisecond

// heardNoMore checks, for a while, that Nexus is told nothing after an unregister
// was answered, and at no time a generation from the given one on.
func (v *vm) heardNoMore(answered time.Time, from uint64) {
	v.t.Helper()
	pace(time.Until(answered.Add(onTheWay+400*time.Millisecond)), 20*time.Millisecond, func() bool { return true })
	for _, h := range v.l.nexus.heardOf(v.id) {
		if late := trial.Own(answered, h.at); late > onTheWay {
			v.t.Errorf("Nexus was told %v %v after the unregister was answered", h.vmm, late)
		}
		if h.vmm.Gen >= from {
			v.t.Errorf("Nexus was told %v, and is to hear nothing from generation %d on", h.vmm, from)
		}
	}
}

// A VMM that has ended and waits for Nexus is Nexus's from its unregister on.
func TestUnregisterOfAnEndedVMM(t *testing.T) {
	l := newSled(t, setup{})
	v := l.launch()
	l.nexus.fault("status=503")
	v.stop(0)
	v.event("terminal")
	end := v.unregister()
	if end == nil || end.VMM.State != vmm.WireDestroyed {
		t.Errorf("the unregister was answered with %v, want the end that there was", end)
	}
	answered := time.Now()
	l.nexus.heal()
	v.forgotten()
	v.heardNoMore(answered, end.VMM.Gen+1)
}

func TestUnregisterOfAnUnknownVMM(t *testing.T) {
	l := sharedSled(t)
	got := l.call("DELETE", "/vmms/"+uuid.NewString(), nil).wants(t, http.StatusOK)
	if got.updated(t) != nil {
		t.Errorf("got %v, want null", got)
	}
}

// Registered and taken back at once, many times over: nothing is left.
func TestRegisterAndUnregister(t *testing.T) {
	l := sharedSled(t)
	for i := range 30 {
		v := l.register()
		if i%2 == 0 {
			v.run()
		}
		if got := v.unregister(); got == nil || got.VMM.State != vmm.WireFailed {
			t.Errorf("the unregister was answered with %v", got)
		}
		v.forgotten()
	}
}

// The operator's kill begins at once and ends Destroyed, whatever waits for
// whom.
func TestOperatorsKill(t *testing.T) {
	l := sharedSled(t)
	for name, prepare := range map[string]func(*vm){
		"of a VMM that runs":     func(v *vm) {},
		"of a server that hangs": func(v *vm) { v.lies("hang-all") },
		"during a stop": func(v *vm) {
			v.lies("hang-stop")
			v.stop(never)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			prepare(v)
			killed := time.Now()
			if _, err := l.admin.Kill(trial.Bounded(t, trial.Patience), v.id); err != nil {
				t.Fatal(err)
			}
			v.removedAtOnce(killed)
			v.endsDestroyed()
		})
	}
}
