package publish

import (
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// errNeverSent is why a record is given up that was never tried.
var errNeverSent = errors.New("publish record: nobody to send it to")

// noteReplica logs when a replica falls into trouble, another trouble, or out
// of it. During an outage that is one line, however many VMMs there are.
func (p *Publisher) noteReplica(i int, a answer, now time.Time, out *outcome) {
	trouble := ""
	switch a.verdict() {
	case silent:
		trouble = "no answer"
	case broken, patience, odd:
		trouble = statusLine(a.status)
	}
	r := &p.replicas.all[i]
	if !r.news(trouble, now) {
		return
	}
	base := r.base
	out.log = append(out.log, func() {
		if trouble == "" {
			p.cfg.Log.Info().Str("nexus", base).Msg("Nexus answers again")
			return
		}
		why(p.cfg.Log.Warn(), a).Str("nexus", base).Str("trouble", trouble).
			Msg("Nexus does not acknowledge VMM records; they are kept and sent again")
	})
}

// noteRefusal logs that Nexus refuses a record which will be offered again,
// once for each kind of refusal.
func (p *Publisher) noteRefusal(s *slot, o *offer, a answer, out *outcome) {
	if v := a.verdict(); v != refused && v != gone || o.refusal == a.status {
		return
	}
	o.refusal = a.status
	p.note(zerolog.WarnLevel, s, o, a, "Nexus refuses the VMM's record; it is offered again", out)
}

func (p *Publisher) noteDropped(s *slot, o *offer, a answer, out *outcome) {
	p.note(zerolog.WarnLevel, s, o, a, "Nexus refused the VMM's record; it is dropped, the next one is offered", out)
}

func (p *Publisher) noteGaveUp(s *slot, o *offer, err error, out *outcome) {
	p.note(zerolog.ErrorLevel, s, o, answer{err: err},
		"gave up publishing how the VMM ended; Nexus may still believe that it runs", out)
}

// note logs about one VMM. It reads what mu guards now and writes later.
func (p *Publisher) note(level zerolog.Level, s *slot, o *offer, a answer, msg string, out *outcome) {
	id, attempts := s.id, o.attempts
	out.log = append(out.log, func() {
		why(p.cfg.Log.WithLevel(level), a).Stringer("vmm", id).Uint64("gen", o.gen).
			Str("state", string(o.state)).Int("attempts", attempts).
			Stringer("offered_for", time.Since(o.since)).Msg(msg)
	})
}

// why adds to e what was wrong with an answer, and no more than fits a line.
func why(e *zerolog.Event, a answer) *zerolog.Event {
	if a.err != nil {
		e = e.Str("error", clip(a.err.Error(), maxErr))
	}
	if a.said != "" {
		e = e.Str("said", a.said)
	}
	return e
}
