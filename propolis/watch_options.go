package propolis

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// WatchOptions are Watch's times. What is 0 or less gets its default.
//
// However they are set, and whatever the server answers, Watch makes at most
// one call a second on average beside its heartbeats; a burst of 20 calls, more
// than the observations of a whole migration, passes without delay.
type WatchOptions struct {
	// Heartbeat is how long a poll may stay without an answer before the server
	// is asked for a sign of life. Default 30s; up to a tenth shorter each time,
	// so that many watches do not beat together.
	Heartbeat time.Duration
	// PollBudget is what the server has for a sign of life. Default 10s.
	PollBudget time.Duration
	// GoneAfter is for how long connections have to be refused, without anything
	// else in between, until the server is Gone. Time in which nobody tried,
	// because the host or this process was stopped, does not count. Default 60s.
	GoneAfter time.Duration
	// RetryMin and RetryMax bound the pauses after calls that failed or brought
	// nothing new. They grow from one to the other. Defaults 1s and 5s.
	RetryMin, RetryMax time.Duration
}

const (
	burst        = 20
	paceInterval = time.Second
)

func (o WatchOptions) withDefaults() WatchOptions {
	o.Heartbeat = orDefault(o.Heartbeat, 30*time.Second)
	o.PollBudget = orDefault(o.PollBudget, 10*time.Second)
	o.GoneAfter = orDefault(o.GoneAfter, 60*time.Second)
	o.RetryMin = orDefault(o.RetryMin, time.Second)
	o.RetryMax = max(orDefault(o.RetryMax, 5*time.Second), o.RetryMin)
	return o
}

func orDefault(d, standard time.Duration) time.Duration {
	if d <= 0 {
		return standard
	}
	return d
}

func (o WatchOptions) heartbeat() time.Duration {
	return o.Heartbeat - rand.N(o.Heartbeat/10+1)
}

// pace allows for the two calls of each heartbeat, the poll and the probe.
func (o WatchOptions) pace() *rate.Limiter {
	return rate.NewLimiter(rate.Every(paceInterval)+2*rate.Every(o.Heartbeat), burst)
}

func (o WatchOptions) backoff() *backoff.ExponentialBackOff {
	const spread = 0.25
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(o.RetryMin),
		backoff.WithMaxInterval(time.Duration(float64(o.RetryMax)/(1+spread))),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(spread),
		backoff.WithMaxElapsedTime(0),
	)
}

// longestGap is the most that lies between two refusals while Watch is tended.
func (o WatchOptions) longestGap() time.Duration { return o.RetryMax + o.PollBudget + paceInterval }

// refusals measures for how long connections have been refused without a break.
type refusals struct {
	last  time.Time
	total time.Duration
}

// note adds a refusal and returns the time so far. A longer gap than most counts as most.
func (r *refusals) note(now time.Time, most time.Duration) time.Duration {
	if !r.last.IsZero() {
		r.total += min(now.Sub(r.last), most)
	}
	r.last = now
	return r.total
}
