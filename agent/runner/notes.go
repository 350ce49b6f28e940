package runner

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/zone"
)

// notes is what effects report for display while they are under way. No decision
// depends on it, so it does not go through the loop.
type notes struct {
	mu       sync.Mutex
	events   []vmm.Event
	pid      int
	lastCall string
	lastErr  string
	attempts int
	removal  *vmm.RemovalStatus
	// rung is the step of the removal that is under way since rungSince; empty
	// between two steps.
	rung      zone.Rung
	rungSince time.Time
	// explained is set once evidence of the VM's end was saved.
	explained bool
	// log is the end of the server's log and console that of the guest's console; nil once the
	// bundle was made.
	log, console []byte
}

// event adds to the VMM's history and tells the host.
func (r *Runner) event(kind, text string) { r.add(vmm.Event{At: time.Now(), Kind: kind, Text: text}) }

// eventTook adds an event for something that began at begun and is over.
func (r *Runner) eventTook(kind, text string, begun time.Time) {
	r.add(vmm.Event{At: time.Now(), Kind: kind, Text: text, Took: time.Since(begun)})
}

func (r *Runner) add(e vmm.Event) {
	e.Text, e.Error = clean(e.Text), clean(e.Error)
	r.notes.mu.Lock()
	r.notes.events = fold(r.notes.events, e)
	r.notes.mu.Unlock()
	r.log.Debug().Str("event", e.Kind).Str("text", e.Text).Str("problem", e.Error).Dur("took", e.Took).Msg("event")
	r.host.Event(r.id, e)
}

func (r *Runner) notePID(pid int) {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	r.notes.pid = pid
}

// noteCall records how a call of Propolis ended. An error becomes an event when it
// is new, not each time.
func (r *Runner) noteCall(call string, err error) {
	if r.work.Err() != nil {
		return // the removal has cancelled it
	}
	if r.notes.call(call, err) {
		r.add(vmm.Event{At: time.Now(), Kind: "propolis", Text: call, Error: err.Error()})
	}
}

// call records how a call ended and reports whether it is a new error.
func (n *notes) call(call string, err error) (news bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.lastCall, n.lastErr, n.attempts = "", "", 0
		return false
	}
	text := clean(err.Error())
	news = n.lastCall != call || n.lastErr != text
	n.lastCall, n.lastErr = call, text
	n.attempts++
	return news
}

// begin records when the removal began, and returns that. A removal that follows
// another belongs to it.
func (n *notes) begin(begun time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removal == nil {
		n.removal = &vmm.RemovalStatus{Begun: begun}
	}
	return n.removal.Begun
}

// unexplained reports whether no evidence of the VM's end was saved yet, and marks
// it as saved: a removal that follows another finds nothing new.
func (n *notes) unexplained() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.explained
	n.explained = true
	return !was
}

// resume sets the progress of the removal when the last process ended.
func (n *notes) resume(e ledger.Entry) {
	if e.Removal == nil || e.State.Phase < vmm.Removing {
		return // A deadline that has begun one without the loop begins the next.
	}
	removal := *e.Removal
	if e.State.Phase < vmm.Ended {
		removal.Gone = nil // It is looked for again.
	}
	n.removal = &removal
}

func (n *notes) rungBegins(rung zone.Rung) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rung, n.rungSince = rung, time.Now()
}

// noteRung records a rung of the removal.
func (r *Runner) noteRung(rep zone.Report) {
	failpoint.Here("rung/" + string(rep.Rung))
	r.host.Meter.Step(string(rep.Rung), rep.Took)
	e := vmm.Event{At: rep.Begun, Kind: string(rep.Rung), Took: rep.Took}
	if rep.Err != nil {
		e.Error = clean(rep.Err.Error())
		r.log.Warn().Str("error", e.Error).Str("rung", string(rep.Rung)).Stringer("zone_state", rep.State).
			Int("attempt", rep.Attempt).Msg("removal step failed; will retry")
	}
	r.notes.mu.Lock()
	if s := r.notes.removal; s != nil {
		noteProgress(s, rep)
	}
	r.notes.mu.Unlock()
	// A kill that succeeds is not kept by itself: at one moment there may be a
	// thousand, and the writer would take the processor from those to come.
	if rep.Rung != zone.RungKill || rep.Err != nil {
		r.saveRemoval()
	}
	r.add(e)
}

// noteProgress records a rung as the one that was tried last. A kill comes before
// every halt: its success does not replace the error of a halt, whose next attempt
// may take long to fail.
func noteProgress(s *vmm.RemovalStatus, rep zone.Report) {
	s.ZoneState = rep.State.String()
	if rep.Err == nil && rep.Rung == zone.RungKill && s.Rung == string(zone.RungHalt) && s.LastError != "" {
		return
	}
	s.Rung, s.Attempt, s.LastError = string(rep.Rung), rep.Attempt, ""
	if rep.Err != nil {
		s.LastError = clean(rep.Err.Error())
	}
}

// removed is the progress of the removal, nil before it begins.
func (n *notes) removed() *vmm.RemovalStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removal == nil {
		return nil
	}
	removal := *n.removal
	return &removal
}

// NoteZone records the state of a zone that is being removed, as a list shows it: a
// halt may take its whole budget, and reports nothing until then.
func (r *Runner) NoteZone(is zone.State) {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	if s := r.notes.removal; s != nil && s.Gone == nil {
		s.ZoneState = is.String()
	}
}

func (r *Runner) noteGone(begun time.Time) {
	now := time.Now()
	r.notes.mu.Lock()
	r.notes.pid = 0
	if r.notes.removal != nil {
		r.notes.removal.Gone = &now
		r.notes.removal.LastError = ""
	}
	r.notes.mu.Unlock()
	r.saveRemoval()
	r.host.Meter.Removed(now.Sub(begun))
	r.eventTook("gone", "zone "+r.zone+" is verified gone", begun)
}

// noteStep logs what a step has changed, and adds the events of its history.
func (r *Runner) noteStep(in vmm.Input, by vmm.Who, was, is vmm.State) {
	r.notePhase(in, was, is)
	r.measure(in, was, is)
	r.noteDoubt(was, is)
	r.notePorts(was, is)
	if was.Stop == nil && is.Stop != nil && is.Stop.By == vmm.ByGuest {
		r.event("stop", stopText(vmm.Stop{}, is))
	}
	switch in := in.(type) {
	case vmm.Start, vmm.MigrateIn:
		r.event("start", byText(in.Kind().String(), by))
	case vmm.Unsaved:
		r.event("start-refused", "it could not be saved")
	case vmm.Stop:
		r.event("stop", stopText(in, is))
	case vmm.Reboot:
		r.event("reboot", byText(softText(in.Soft, is.Limits.Pressed(in.Soft)), by))
	case vmm.Kill, vmm.Unregister:
		r.event(map[vmm.Kind]string{vmm.KindKill: "killed-by-operator", vmm.KindUnregister: "unregister"}[in.Kind()], byText("", by))
	case vmm.Observed:
		r.event("observed", fmt.Sprintf("%s, Propolis's generation %d", in.State, in.Gen))
	case vmm.Answered:
		r.noteAnswer(in, is)
	case vmm.StartFailed:
		r.add(vmm.Event{At: time.Now(), Kind: "start-failed", Error: in.Why})
	case vmm.Lost:
		r.add(vmm.Event{At: time.Now(), Kind: "lost", Error: in.Why})
	case vmm.ZoneEnded:
		if is.Phase < vmm.Ended && !r.removing() {
			r.event("zone-ended", in.Why)
		}
	case vmm.ZoneGone:
		if was.Phase < vmm.Ended && is.Phase >= vmm.Ended {
			r.event("terminal", fmt.Sprintf("%s, generation %d: %s", is.Record.VMM.State, is.Record.VMM.Gen, is.Reason))
		}
	case vmm.Published:
		if in.Heard == vmm.HeardAck {
			r.event("published", fmt.Sprintf("Nexus acknowledged generation %d", in.Gen))
		} else if is.Flux.Settled && !was.Flux.Settled && !is.Limits.Standalone {
			r.host.GaveUp.Add(1)
			r.add(vmm.Event{At: time.Now(), Kind: "gave-up", Text: fmt.Sprintf("generation %d was never acknowledged", in.Gen), Error: in.Why})
			r.log.Error().Uint64("gen", in.Gen).Str("state", string(is.Record.VMM.State)).Str("error", in.Why).
				Int("attempts", is.Flux.Offer.Tries).Msg("gave up publishing the terminal state; Nexus may still believe that the VM runs")
		}
	}
}

func (r *Runner) noteAnswer(in vmm.Answered, is vmm.State) {
	kind := map[vmm.Action]string{vmm.AskRun: "run", vmm.AskStop: "asked", vmm.AskReboot: "reboot-asked"}[in.Action]
	switch {
	case in.Refused, in.Unreachable:
	case in.NoVM:
		r.event(kind, "Propolis has no VM to "+string(in.Action)+", its last state was "+string(is.Propolis.State))
	case in.Action == vmm.AskStop && is.Phase == vmm.Stopping && time.Now().Before(is.SoftUntil()):
		r.event(kind, "Propolis accepted "+string(in.Action)+" and asks the guest to power off")
	default:
		r.event(kind, "Propolis accepted "+string(in.Action))
	}
}

// notePhase logs a change of phase, as a warning if the VMM failed or was ended by
// force.
func (r *Runner) notePhase(in vmm.Input, was, is vmm.State) {
	if is.Phase == was.Phase {
		return
	}
	r.log.Info().Stringer("phase", is.Phase).Str("state", string(is.Record.VMM.State)).
		Uint64("gen", is.Record.VMM.Gen).Stringer("because", in.Kind()).Str("reason", is.Reason).
		Msg("phase changed")
	if was.Phase >= vmm.Ended || is.Phase < vmm.Ended {
		return
	}
	if is.Outcome == vmm.Failed {
		r.log.Warn().Str("reason", is.Reason).Msg("VMM failed")
	} else if forced(is) {
		r.log.Warn().Str("reason", is.Reason).Str("by", string(is.Stop.By)).Msg("VMM ended by force")
	}
}

// noteDoubt records when a question has no answer any more, and when it has again.
func (r *Runner) noteDoubt(was, is vmm.State) {
	for _, d := range []struct {
		kind    string
		was, is vmm.Doubt
	}{{"unsure", was.Flux.Zone, is.Flux.Zone}, {"silent", was.Flux.Server, is.Flux.Server}} {
		switch {
		case d.was.Since.IsZero() && !d.is.Since.IsZero():
			r.add(vmm.Event{At: time.Now(), Kind: d.kind, Text: doubtText[d.kind], Error: d.is.Why})
			r.log.Warn().Str("of", d.kind).Str("why", d.is.Why).Msg("cannot tell whether the VM exists; will ask again")
		case !d.was.Since.IsZero() && d.is.Since.IsZero() && is.Phase < vmm.Removing:
			r.event(map[string]string{"unsure": "sure", "silent": "speaks"}[d.kind],
				fmt.Sprintf("answered after %s and %d questions", time.Since(d.was.Since).Round(time.Millisecond), d.was.Asked))
		}
	}
}

var doubtText = map[string]string{"unsure": "cannot tell whether the zone runs", "silent": "Propolis does not answer"}

// removing reports whether a removal has begun.
func (r *Runner) removing() bool {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	return r.killing.Load() || r.notes.removal != nil
}

func stopText(in vmm.Stop, s vmm.State) string {
	if s.Stop == nil {
		return "nothing left to stop"
	}
	text := fmt.Sprintf("by %s, grace %s", s.Stop.By, s.Stop.Grace.Round(time.Millisecond))
	if soft := softText(in.Soft, s.Stop.Soft); soft != "" && s.Phase == vmm.Stopping {
		text += ", " + soft
	}
	return text
}

// byText adds who asked to a text. Nexus is not named: it is the one who asks.
func byText(text string, by vmm.Who) string {
	if by == "" {
		return text
	}
	return strings.TrimPrefix(text+", by "+string(by), ", ")
}

// softText says what a guest gets of the time that was asked for it.
func softText(asked, gets time.Duration) string {
	switch {
	case gets > 0:
		return fmt.Sprintf("forced if the guest has not shut down within %s", gets.Round(time.Millisecond))
	case asked > 0:
		return "forced at once"
	}
	return ""
}
