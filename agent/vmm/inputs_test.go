package vmm

import (
	"errors"
	"time"
)

// A move is the next step: an input after some time, or the watchdog's firing.
type move struct {
	in    Input
	after time.Duration
	fire  bool
}

func (m move) String() string {
	if m.fire {
		return "deadline"
	}
	return m.in.Kind().String()
}

func (w world) take(m move, now time.Time) (world, error) {
	if m.fire {
		w = w.fire()
		return w, w.invariants()
	}
	now = now.Add(m.after)
	next, err := w.advance(m.in, now)
	if p, ok := m.in.(Published); ok && err == nil && p.Heard != HeardAck && !w.s.Disowned &&
		next.s.Flux.Settled && !w.s.Flux.Settled && !w.s.Flux.Offer.outlasted(now) {
		err = errors.New("a terminal record is given up too early")
	}
	return next, err
}

// outlasted reports whether the terminal record was offered, or the VMM denied, for the
// minimum time.
func (o Offer) outlasted(now time.Time) bool {
	long := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) >= unknownFor }
	return long(o.Since) || long(o.Unknown)
}

// moves lists everything that can happen to a VMM in a world, with one value for each case
// that the machine distinguishes.
func (w world) moves() []move {
	short, none, huge := 3*time.Second, time.Duration(0), 1000*time.Hour
	soft := 2 * testLimits.StopGrace
	var all []move
	add := func(ins ...Input) {
		for _, in := range ins {
			all = append(all, move{in: in})
		}
	}
	add(Start{}, MigrateIn{Src: "[fd00::1]:12400"}, Stop{By: ByNexus}, Stop{By: ByNexus, Grace: &short},
		Stop{By: ByNexus, Grace: &none}, Stop{By: ByNexus, Grace: &huge}, Stop{By: ByNexus, Soft: soft},
		Stop{By: ByNexus, Soft: short}, Reboot{}, Reboot{Soft: soft}, Unregister{}, Kill{},
		Answered{Action: AskRun}, Answered{Action: AskRun, NoVM: true}, Answered{Action: AskStop},
		Answered{Action: AskStop, NoVM: true}, Answered{Action: AskStop, Unreachable: true},
		Answered{Action: AskReboot}, Answered{Action: AskReboot, Refused: true}, Answered{Action: AskReboot, NoVM: true},
		Lost{Why: "x"}, ZoneEnded{Why: "x"}, ZoneChanged{},
		Present{Of: OfZone}, Unsure{Of: OfZone, Why: "x"}, Present{Of: OfServer}, Unsure{Of: OfServer, Why: "x"},
		Slept{For: time.Minute}, Resumed{}, Resumed{Rebooted: true})
	if w.starting {
		add(StartFailed{Why: "x"})
		if w.unsaved {
			add(Unsaved{})
		}
		if w.s.Phase != Ensuring {
			add(ZoneBooted{})
		}
		if w.s.Phase != Booting {
			add(Ensured{})
		}
	}
	if !w.until.IsZero() {
		add(Answered{Action: AskStop, Until: w.until})
	}
	if w.armed.For != ForNothing {
		all = append(all, move{fire: true})
	}
	if w.unreported {
		add(Expired{Epoch: w.s.Epoch, N: w.begun})
	} else if w.begun > w.gone {
		add(ZoneGone{N: w.begun})
	}
	if w.offering {
		for _, h := range []Heard{HeardNothing, HeardError, HeardAck, HeardUnknown, HeardRefused} {
			for _, gen := range []uint64{w.s.Record.VMM.Gen, w.s.Record.VMM.Gen - 1} {
				p := Published{Gen: gen, Heard: h, Bare: w.s.Flux.Offer.Bare}
				all = append(all, move{in: p}, move{in: p, after: 25 * time.Hour})
			}
		}
	}
	add(w.changes()...)
	for _, o := range observations(w.s) {
		add(o)
	}
	return all
}

// observations lists what Propolis may report: each state, a jump and a decrease of its
// generations where the machine uses them, and each side of a migration.
func observations(s State) (all []Input) {
	gens := []uint64{s.Propolis.Gen + 1}
	if s.Armed.For == ForReboot {
		gens = append(gens, s.Propolis.Gen)
	}
	if s.Rebooting {
		gens = append(gens, s.Propolis.Gen+2, 1)
	}
	for _, state := range PropolisStates() {
		for _, gen := range gens {
			all = append(all, Observed{State: state, Gen: gen})
		}
	}
	for _, state := range []PropolisState{PropolisRunning, PropolisMigrating, PropolisFailed} {
		for _, phase := range []string{"Sync", "Finish", "Error"} {
			m := &ObservedMigration{ID: migrationID, Phase: phase}
			all = append(all, Observed{State: state, Gen: s.Propolis.Gen + 1, MigrationIn: m},
				Observed{State: state, Gen: s.Propolis.Gen + 1, MigrationOut: m},
				Observed{State: state, Gen: s.Propolis.Gen + 1, MigrationIn: m, MigrationOut: m})
		}
	}
	return all
}
