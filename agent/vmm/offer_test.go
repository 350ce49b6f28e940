package vmm

import (
	"slices"
	"testing"
	"time"
)

// ended returns a VMM whose terminal record is being offered.
func ended(t *testing.T, migrates bool) State {
	t.Helper()
	o := Observed{State: PropolisRunning, Gen: 4}
	if migrates {
		o.MigrationOut = &ObservedMigration{ID: migrationID, Phase: "Error"}
	}
	s, _ := run(t, after(o, Kill{}, ZoneGone{N: 1}, Published{Gen: 2})...)
	if s.Phase != Ended || !s.Flux.Offer.UnderWay {
		t.Fatalf("phase %s, %+v", s.Phase, s.Flux.Offer)
	}
	return s
}

// A terminal record is given up only when Nexus has denied the VMM for minutes, or after
// GiveUpAfter.
func TestTerminalRecordIsGivenUpLateOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		heard Heard
		after time.Duration
	}{
		{HeardNothing, testLimits.GiveUpAfter}, {HeardError, testLimits.GiveUpAfter},
		{HeardRefused, testLimits.GiveUpAfter}, {HeardUnknown, unknownFor},
	} {
		s := ended(t, false)
		begun := epochStart
		for now := begun; ; now = now.Add(10 * time.Second) {
			var effects []Effect
			s, effects = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: tt.heard}, now)
			if s.Phase == Forgotten {
				if took := now.Sub(begun); took < tt.after || took > tt.after+time.Minute {
					t.Errorf("%d: given up after %s, want %s", tt.heard, took, tt.after)
				}
				break
			}
			if p, ok := effects[0].(Publish); !ok || p.After > testLimits.RetryMax {
				t.Fatalf("%d: %+v", tt.heard, effects)
			}
		}
	}
}

// Without a Nexus no record is offered, and a VMM that has ended is forgotten after GiveUpAfter.
func TestStandaloneOffersNothing(t *testing.T) {
	t.Parallel()
	s := newWorld(false).s
	s.Limits.Standalone = true
	offered := func(e Effect) bool { _, ok := e.(Publish); return ok }
	var effects []Effect
	for _, in := range after(Kill{}) {
		if s, effects = Step(s, in, epochStart); slices.ContainsFunc(effects, offered) {
			t.Errorf("%s: a record is offered: %+v", in.Kind(), effects)
		}
	}
	s, effects = Step(s, ZoneGone{N: 1}, epochStart)
	i := slices.IndexFunc(effects, offered)
	if s.Phase != Ended || i < 0 || effects[i].(Publish).After != s.Limits.GiveUpAfter {
		t.Fatalf("%s, %+v", s.Phase, effects)
	}
	if s, _ = Step(s, Published{Gen: s.Record.VMM.Gen}, epochStart.Add(s.Limits.GiveUpAfter)); s.Phase != Forgotten {
		t.Errorf("phase %s", s.Phase)
	}
}

// Denials with other answers in between do not add up.
func TestDenialIsCountedFromTheFirst(t *testing.T) {
	t.Parallel()
	s := ended(t, false)
	s, _ = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: HeardUnknown}, epochStart)
	s, _ = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: HeardNothing}, epochStart.Add(time.Hour))
	if s.Phase != Ended {
		t.Error("given up though the last answer was not a denial")
	}
	s, _ = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: HeardUnknown}, epochStart.Add(2*time.Hour))
	if s.Phase != Forgotten {
		t.Error("not given up though the VMM is still denied")
	}
}

// A record that is refused for its migrations is offered without them.
func TestRecordIsOfferedWithoutItsMigrations(t *testing.T) {
	t.Parallel()
	for heard, times := range map[Heard]int{HeardRefused: 1, HeardUnknown: 1, HeardError: errorsForBare} {
		s := ended(t, true)
		for i := range times {
			var effects []Effect
			s, effects = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: heard}, epochStart)
			if p := effects[0].(Publish); (p.Bare == s.Record.VMM.Gen) != (i == times-1) {
				t.Errorf("%d, time %d: %+v", heard, i+1, p)
			}
		}
		if s, _ = Step(s, Published{Gen: s.Record.VMM.Gen, Heard: HeardAck, Bare: true}, epochStart); s.Phase != Forgotten {
			t.Errorf("%d: acknowledged, and %s", heard, s.Phase)
		}
	}
}

// So is the record of a running VMM, once: if that is refused, it is dropped.
func TestRunningRecordIsOfferedWithoutItsMigrations(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(Published{Gen: 2, Heard: HeardAck},
		Observed{State: PropolisRunning, Gen: 4, MigrationOut: &ObservedMigration{ID: migrationID, Phase: "Error"}})...)
	gen := s.Record.VMM.Gen
	s, effects := Step(s, Published{Gen: gen, Heard: HeardUnknown}, epochStart)
	if p, ok := effects[0].(Publish); !ok || p.Bare != gen {
		t.Fatalf("%+v", effects)
	}
	if s, effects = Step(s, Published{Gen: gen, Heard: HeardUnknown, Bare: true}, epochStart); len(effects) != 0 || s.Flux.Offer.UnderWay {
		t.Errorf("offered again: %+v", effects)
	}
}
