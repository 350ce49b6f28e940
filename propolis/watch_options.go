package propolis

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// WatchOptions are the times of a Watch. Values of 0 or less mean the default.
//
// Regardless of the options and of the server's answers, Watch makes on average at most
// one call a second beside its heartbeats. A burst of 20 calls, more than the observations
// of a migration, is not delayed.
type WatchOptions struct {
	// Heartbeat is the interval of requests for the present state. Default 30s. It is
	// shortened randomly by up to a tenth, so that many watches do not synchronize.
	Heartbeat time.Duration
	// PollBudget bounds the answer to a heartbeat. Default 10s.
	PollBudget time.Duration
	// GoneAfter is how long connections must be refused, without another result in between,
	// until the server is Gone. Time in which no attempt was made, because the host or this
	// process was stopped, does not count. Default 60s.
	GoneAfter time.Duration
	// RetryMin and RetryMax bound the pauses after calls that failed or returned nothing
	// new. Pauses grow from RetryMin to RetryMax. Defaults 1s and 5s.
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

// pace allows two calls per heartbeat: it is repeated a moment later if it showed what
// the poll should have returned.
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

// longestGap is the longest time between two refusals while the process is not stopped.
func (o WatchOptions) longestGap() time.Duration { return o.RetryMax + o.PollBudget + paceInterval }

// refusals measures how long connections have been refused without interruption.
type refusals struct {
	last  time.Time
	total time.Duration
}

// note adds a refusal and returns the duration so far. A gap longer than most counts as most.
func (r *refusals) note(now time.Time, most time.Duration) time.Duration {
	if !r.last.IsZero() {
		r.total += min(now.Sub(r.last), most)
	}
	r.last = now
	return r.total
}
