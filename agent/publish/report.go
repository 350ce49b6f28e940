package publish

import "time"

// logGap is the minimum time between two log lines about one replica.
const logGap = 10 * time.Second

// A report is the log state of a peer: its trouble ("" is none) and since when.
type report struct {
	trouble string
	at      time.Time
}

// A change is a change of a peer's state to be logged.
type change struct {
	base, trouble string
	outcome       outcome
}

// update returns what is to be logged after an outcome: a change of the peer's trouble
// since the last log line, unless that was less than logGap ago. An outage is one line,
// for any number of VMMs.
func (r *report) update(o outcome, base string, now time.Time) *change {
	trouble := ""
	if o.verdict == CannotTell {
		trouble = "no answer"
		if o.status != 0 {
			trouble = statusLine(o.status)
		}
	}
	if trouble == r.trouble || !r.at.IsZero() && now.Sub(r.at) < logGap {
		return nil
	}
	r.trouble, r.at = trouble, now
	return &change{base: base, trouble: trouble, outcome: o}
}

func (c *Client) report(ch *change) {
	switch {
	case ch == nil:
	case ch.trouble == "":
		c.cfg.Log.Info().Str("nexus", ch.base).Msg("Nexus answers again")
	default:
		c.cfg.Log.Warn().Str("nexus", ch.base).Str("trouble", ch.trouble).
			Str("error", ch.outcome.err.Error()).Str("said", ch.outcome.said).
			Msg("Nexus does not acknowledge VMM records; they are kept and sent again")
	}
}
