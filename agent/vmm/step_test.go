package vmm

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// run applies inputs at one moment and returns the last state and effects.
func run(t *testing.T, ins ...Input) (State, []Effect) {
	t.Helper()
	w := newWorld(false)
	s := w.s
	var effects []Effect
	for _, in := range ins {
		s, effects = Step(s, in, epochStart)
	}
	return s, effects
}

var toActive = []Input{Start{}, ZoneBooted{}, Ensured{}, Observed{State: PropolisRunning, Gen: 3}}

func after(ins ...Input) []Input { return append(append([]Input(nil), toActive...), ins...) }

func TestGraceIsClampedAndOnlyComesForward(t *testing.T) {
	t.Parallel()
	d := func(d time.Duration) *time.Duration { return &d }
	tests := []struct {
		name  string
		first *time.Duration
		then  *time.Duration
		want  time.Duration
	}{
		{"default", nil, nil, 10 * time.Minute},
		{"asked for", d(30 * time.Second), d(30 * time.Second), 30 * time.Second},
		{"clamped to the maximum", d(1 << 62), d(1 << 62), time.Hour},
		{"at once", d(0), d(0), 0},
		{"negative is at once", d(-time.Second), nil, 0},
		{"a second stop shortens", nil, d(time.Second), time.Second},
		{"a second stop never extends", d(time.Second), nil, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := run(t, after(Stop{By: ByNexus, Grace: tt.first}, Stop{By: ByNexus, Grace: tt.then})...)
			if got := s.Armed.At.Sub(epochStart); got != tt.want || s.Armed.For != ForStop {
				t.Errorf("armed %s after %s, want stop after %s", s.Armed.For, got, tt.want)
			}
		})
	}
}

func TestPropolisStatesOnTheWire(t *testing.T) {
	t.Parallel()
	want := map[PropolisState]WireState{
		"Creating": "starting", "Starting": "starting", "Running": "running", "Repairing": "running",
		"Stopping": "stopping", "Stopped": "stopping", "Rebooting": "rebooting", "Migrating": "migrating",
		"Failed": "failed", "Destroyed": "destroyed",
	}
	got := map[PropolisState]WireState{}
	for _, s := range PropolisStates() {
		got[s] = s.Wire()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestGenerationsOfALifecycle(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(
		Observed{State: PropolisRunning, Gen: 4}, Stop{By: ByNexus}, Observed{State: PropolisStopping, Gen: 5},
		Observed{State: PropolisRunning, Gen: 5}, Observed{State: PropolisDestroyed, Gen: 6}, ZoneGone{N: 1})...)
	want := Runtime{State: WireDestroyed, Gen: 9, Updated: epochStart}
	if d := cmp.Diff(want, s.Record.VMM); d != "" {
		t.Error(d)
	}
}

func TestMigrationRecords(t *testing.T) {
	t.Parallel()
	other := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	seen := func(id uuid.UUID, phase string) *ObservedMigration { return &ObservedMigration{ID: id, Phase: phase} }
	pending := &Migration{ID: migrationID, State: MigrationPending, Gen: 1, Updated: epochStart}
	rec := func(id uuid.UUID, s MigrationState, gen uint64) *Migration {
		return &Migration{ID: id, State: s, Gen: gen, Updated: epochStart}
	}
	tests := []struct {
		name string
		have *Migration
		seen *ObservedMigration
		want *Migration
	}{
		{"not mentioned keeps the record", pending, nil, pending},
		{"first sight of an id starts at 2", nil, seen(migrationID, "Sync"), rec(migrationID, MigrationInProgress, 2)},
		{"same state is untouched", rec(migrationID, MigrationInProgress, 5), seen(migrationID, "RamPush"), rec(migrationID, MigrationInProgress, 5)},
		{"a new state is a generation", pending, seen(migrationID, "Sync"), rec(migrationID, MigrationInProgress, 2)},
		{"finish completes", rec(migrationID, MigrationInProgress, 2), seen(migrationID, "Finish"), rec(migrationID, MigrationCompleted, 3)},
		{"error fails", rec(migrationID, MigrationInProgress, 2), seen(migrationID, "Error"), rec(migrationID, MigrationFailed, 3)},
		{"another id replaces", rec(migrationID, MigrationCompleted, 7), seen(other, "Sync"), rec(other, MigrationInProgress, 2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, tt.have.observe(tt.seen, epochStart)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSourceThatFinishedStaysCompleted(t *testing.T) {
	t.Parallel()
	out := func(phase string) *ObservedMigration { return &ObservedMigration{ID: migrationID, Phase: phase} }
	s, _ := run(t, after(
		Observed{State: PropolisMigrating, Gen: 4, MigrationOut: out("Sync")},
		Observed{State: PropolisMigrating, Gen: 9, MigrationOut: out("Finish")},
		Observed{State: PropolisStopping, Gen: 10, MigrationOut: out("Finish")},
		Observed{State: PropolisDestroyed, Gen: 11, MigrationOut: out("Finish")}, ZoneGone{N: 1})...)
	if s.Record.VMM.State != WireDestroyed || s.Record.MigrationOut.State != MigrationCompleted || s.Record.MigrationOut.Gen != 3 {
		t.Errorf("ended as %+v with %+v", s.Record.VMM, s.Record.MigrationOut)
	}
}

func TestRebootThatIsOverBeforeItsAnswerArmsNothing(t *testing.T) {
	t.Parallel()
	s, effects := run(t, after(Reboot{}, Observed{State: PropolisRunning, Gen: 5}, Answered{Action: AskReboot})...)
	if s.Armed.For != ForNothing || s.Record.VMM.State != WireRunning {
		t.Errorf("%s with a deadline for %q", s.Record.VMM.State, s.Armed.For)
	}
	if d := cmp.Diff([]Effect{Answer{To: Rebooters}}, effects); d != "" {
		t.Error(d)
	}
}

// A reboot is two generations of Propolis's: after one it still goes on, and has a deadline.
func TestRebootThatGoesOnHasADeadline(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(Reboot{}, Observed{State: PropolisRunning, Gen: 4}, Answered{Action: AskReboot})...)
	if s.Armed.For != ForReboot || s.Record.VMM.State != WireRebooting {
		t.Errorf("%s with a deadline for %q", s.Record.VMM.State, s.Armed.For)
	}
}

func TestStopSupersedesAReboot(t *testing.T) {
	t.Parallel()
	s, effects := run(t, after(Reboot{}, Answered{Action: AskReboot}, Stop{By: ByNexus})...)
	if s.Armed.For != ForStop || s.Phase != Stopping {
		t.Errorf("phase %s, deadline for %s", s.Phase, s.Armed.For)
	}
	want := []Effect{Arm{s.Armed}, Ask{Action: AskStop}, Answer{}}
	if d := cmp.Diff(want, effects); d != "" {
		t.Error(d)
	}
}

func TestGuestThatHaltsItselfHasADeadline(t *testing.T) {
	t.Parallel()
	for _, state := range []PropolisState{PropolisStopping, PropolisStopped} {
		s, _ := run(t, after(Observed{State: state, Gen: 4})...)
		if s.Armed.For != ForStop || s.Armed.At.Sub(epochStart) != testLimits.StopGrace || s.Stop.By != ByGuest {
			t.Errorf("%s: armed %+v by %+v", state, s.Armed, s.Stop)
		}
	}
}

func TestEndsFailedOnlyIfUnrequested(t *testing.T) {
	t.Parallel()
	ends := []Input{Lost{}, ZoneEnded{}, Observed{State: PropolisFailed, Gen: 9}, Expired{N: 1}}
	for _, end := range ends {
		crashed, _ := run(t, after(end, ZoneGone{N: 1})...)
		stopped, _ := run(t, after(Stop{By: ByNexus}, end, ZoneGone{N: 1})...)
		if crashed.Record.VMM.State != WireFailed || stopped.Record.VMM.State != WireDestroyed {
			t.Errorf("%s: %s unasked, %s after a stop", end.Kind(), crashed.Record.VMM.State, stopped.Record.VMM.State)
		}
	}
}

// Repeated reboots by the guest do not extend the deadline of the reboot.
func TestRebootKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(Observed{State: PropolisRebooting, Gen: 4})...)
	armed := s.Armed
	s, _ = Step(s, Observed{State: PropolisRebooting, Gen: 6}, epochStart.Add(time.Minute))
	if d := cmp.Diff(armed, s.Armed); armed.For != ForReboot || d != "" {
		t.Errorf("armed for %q, then changed: %s", armed.For, d)
	}
}

// A stop refuses a pending reboot at once, and a second stop is not forwarded again.
func TestStopRefusesAPendingRebootAndIsForwardedOnce(t *testing.T) {
	t.Parallel()
	s, effects := run(t, after(Reboot{}, Stop{By: ByNexus})...)
	refused := Refuse{To: Rebooters, Reason: Superseded, Detail: "the VMM is stopping"}
	if !slices.Contains(effects, Effect(refused)) || !slices.Contains(effects, Effect(Ask{Action: AskStop})) {
		t.Errorf("the stop has the effects %+v", effects)
	}
	_, effects = Step(s, Stop{By: ByNexus}, epochStart)
	if d := cmp.Diff([]Effect{Answer{To: Caller}}, effects); d != "" {
		t.Errorf("the second stop: %s", d)
	}
}

// A removal that began before a start returned may have looked too early: the VMM ends only
// with the one that begins after it.
func TestEndsWithTheNewestRemoval(t *testing.T) {
	t.Parallel()
	s, effects := run(t, Start{}, Stop{By: ByNexus}, ZoneBooted{})
	if d := cmp.Diff([]Effect{Remove{N: 2}}, effects); d != "" {
		t.Fatalf("after the start has returned: %s", d)
	}
	if s, _ = Step(s, ZoneGone{N: 1}, epochStart); s.Phase != Removing {
		t.Errorf("after the first removal it is %s", s.Phase)
	}
	if s, _ = Step(s, ZoneGone{N: 2}, epochStart); s.Phase != Ended {
		t.Errorf("after the second removal it is %s", s.Phase)
	}
}

// An unanswered question keeps the time since when it is unanswered.
func TestUnsureKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(Unsure{Of: OfZone, Why: "first"})...)
	s, _ = Step(s, Unsure{Of: OfZone, Why: "second"}, epochStart.Add(time.Minute))
	if d := cmp.Diff(Doubt{Since: epochStart, Why: "second", Asked: 2}, s.Flux.Zone); d != "" {
		t.Error(d)
	}
}

// A Propolis that has run the VM and now has none is ending it: the stop is repeated only
// while Propolis may still be creating the VM.
func TestStopIsRepeatedOnlyWhileTheVMIsCreated(t *testing.T) {
	t.Parallel()
	noVM := Answered{Action: AskStop, NoVM: true}
	_, effects := run(t, after(Stop{By: ByNexus}, noVM)...)
	if len(effects) != 0 {
		t.Errorf("a VM that has run: %+v", effects)
	}
	_, effects = run(t, Start{}, ZoneBooted{}, Ensured{}, Stop{By: ByNexus}, noVM)
	if d := cmp.Diff([]Effect{Ask{Action: AskStop, After: askAgainAfter}}, effects); d != "" {
		t.Errorf("a VM that is being created: %s", d)
	}
}
