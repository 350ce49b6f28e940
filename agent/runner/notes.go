package runner

import (
	"fmt"
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/failpoint"
	"github.com/sledagent/sledagent/zone"
)

// maxEvents is how many of a VMM's events are remembered.
const maxEvents = 100

// notes is what effects have to tell to people while they are under way. No
// decision depends on it, so it does not go through the loop.
type notes struct {
	mu       sync.Mutex
	events   []vmm.Event
	pid      int
	silent   *time.Time
	lastCall string
	lastErr  string
	attempts int
	removal  *vmm.RemovalStatus
	// rung is the step of the removal that is under way since rungSince; empty
	// between two steps.
	rung      zone.Rung
	rungSince time.Time
}

// event adds to the VMM's history and tells the host.
func (r *Runner) event(kind, text string) { r.add(vmm.Event{At: time.Now(), Kind: kind, Text: text}) }

// eventTook adds an event for something that began at begun and is over.
func (r *Runner) eventTook(kind, text string, begun time.Time) {
	r.add(vmm.Event{At: time.Now(), Kind: kind, Text: text, Took: time.Since(begun)})
}

func (r *Runner) add(e vmm.Event) {
	n := &r.notes
	n.mu.Lock()
	if len(n.events) == maxEvents {
		n.events = append(n.events[:0], n.events[1:]...)
	}
	n.events = append(n.events, e)
	n.mu.Unlock()
	r.log.Debug().Str("event", e.Kind).Str("text", e.Text).Str("problem", e.Error).Dur("took", e.Took).Msg("event")
	r.host.Event(r.id, e)
}

func (r *Runner) notePID(pid int) {
	r.notes.mu.Lock()
	defer r.notes.mu.Unlock()
	r.notes.pid = pid
}

// noteCall takes down how a call of Propolis ended. A trouble becomes an event
// when it is new, not each time.
func (r *Runner) noteCall(call string, err error) {
	if r.notes.call(call, err) && r.work.Err() == nil {
		r.add(vmm.Event{At: time.Now(), Kind: "propolis", Text: call, Error: err.Error()})
	}
}

// call takes down how a call ended and tells whether that is a new trouble.
func (n *notes) call(call string, err error) (news bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.lastCall, n.lastErr, n.attempts = "", "", 0
		return false
	}
	news = n.lastCall != call || n.lastErr != err.Error()
	n.lastCall, n.lastErr = call, err.Error()
	n.attempts++
	return news
}

func (r *Runner) noteSilent(err error) {
	now := time.Now()
	r.notes.mu.Lock()
	r.notes.silent = &now
	r.notes.mu.Unlock()
	r.add(vmm.Event{At: now, Kind: "silent", Text: "Propolis does not answer", Error: err.Error()})
}

func (r *Runner) noteSpeaks() {
	r.notes.mu.Lock()
	was := r.notes.silent
	r.notes.silent = nil
	r.notes.mu.Unlock()
	if was != nil {
		r.event("speaks", fmt.Sprintf("Propolis answers again after %s", time.Since(*was).Round(time.Millisecond)))
	}
}

// begin takes down when the removal began. A second one, for what is left of a
// zone that somebody else has removed, is part of the first.
func (n *notes) begin(begun time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removal == nil {
		n.removal = &vmm.RemovalStatus{Begun: begun}
	}
}

// resume takes down how far the removal had come when the last process ended.
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

// noteRung takes down a rung of the removal.
func (r *Runner) noteRung(rep zone.Report) {
	failpoint.Here("rung/" + string(rep.Rung))
	e := vmm.Event{At: rep.Begun, Kind: string(rep.Rung), Took: rep.Took}
	if rep.Attempt > 1 {
		e.Text = fmt.Sprintf("attempt %d", rep.Attempt)
	}
	if rep.Err != nil {
		e.Error = rep.Err.Error()
		r.log.Warn().Err(rep.Err).Str("rung", string(rep.Rung)).Stringer("zone_state", rep.State).
			Int("attempt", rep.Attempt).Msg("removal is not getting on")
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

// noteProgress takes down a rung as the one that was tried last. A kill comes
// before every halt: that it succeeds changes nothing about a halt that has
// failed, and the next one may take long to fail.
func noteProgress(s *vmm.RemovalStatus, rep zone.Report) {
	s.ZoneState = rep.State.String()
	if rep.Err == nil && rep.Rung == zone.RungKill && s.Rung == string(zone.RungHalt) && s.LastError != "" {
		return
	}
	s.Rung, s.Attempt, s.LastError = string(rep.Rung), rep.Attempt, ""
	if rep.Err != nil {
		s.LastError = rep.Err.Error()
	}
}

// removed is how far the removal has come, nil before it begins.
func (n *notes) removed() *vmm.RemovalStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removal == nil {
		return nil
	}
	removal := *n.removal
	return &removal
}

// NoteZone takes down what the zone is that is being removed, as somebody else has
// seen it: a halt may take its whole budget, and says nothing until then.
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
	r.eventTook("gone", "zone "+r.zone+" is verified gone", begun)
}

// noteStep makes an event of what moves the VMM's life.
func (r *Runner) noteStep(in vmm.Input, s vmm.State) {
	switch in := in.(type) {
	case vmm.Start, vmm.MigrateIn:
		r.event("start", in.Kind().String())
	case vmm.Stop:
		r.event("stop", stopText(s))
	case vmm.Kill, vmm.Unregister, vmm.Reboot:
		r.event(map[vmm.Kind]string{vmm.KindKill: "killed-by-operator", vmm.KindUnregister: "unregister",
			vmm.KindReboot: "reboot"}[in.Kind()], "")
	case vmm.Observed:
		r.event("observed", fmt.Sprintf("%s, Propolis's generation %d", in.State, in.Gen))
	case vmm.Answered:
		kind := map[vmm.Action]string{vmm.AskRun: "run", vmm.AskStop: "asked", vmm.AskReboot: "reboot-asked"}[in.Action]
		if !in.Refused {
			r.event(kind, "Propolis accepted "+string(in.Action))
		}
	case vmm.StartFailed:
		r.add(vmm.Event{At: time.Now(), Kind: "start-failed", Error: in.Why})
	case vmm.Lost:
		r.add(vmm.Event{At: time.Now(), Kind: "lost", Error: in.Why})
	case vmm.ZoneEnded:
		if s.Phase < vmm.Ended && r.notes.running() {
			r.event("zone-ended", in.Why)
		}
	case vmm.ZoneGone:
		r.event("terminal", fmt.Sprintf("%s, generation %d: %s", s.Record.VMM.State, s.Record.VMM.Gen, s.Reason))
	case vmm.Acked:
		r.event("published", fmt.Sprintf("Nexus acknowledged generation %d", in.Gen))
	case vmm.GaveUp:
		r.event("gave-up", fmt.Sprintf("generation %d was never acknowledged", in.Gen))
	}
}

// running tells whether no removal has begun.
func (n *notes) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.removal == nil
}

func stopText(s vmm.State) string {
	if s.Stop == nil {
		return "nothing left to stop"
	}
	return fmt.Sprintf("by %s, grace %s", s.Stop.By, s.Stop.Grace)
}
