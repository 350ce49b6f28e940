package bundle

import (
	"fmt"
	"slices"
	"time"
)

// A Context says when bundles are cleaned up, and which (CleanupContext on the wire). It
// is not kept over a restart of the agent.
type Context struct {
	Period time.Duration
	// Limit is the share of the quota for bundles, in percent.
	Limit    uint8
	Priority Priority
}

// Available is the limit of the size of all bundles, in bytes.
func (c Context) Available() int64 { return Quota * int64(c.Limit) / 100 }

var defaultContext = Context{Period: 10 * time.Minute, Limit: 25, Priority: Priority{ByCause, ByTime}}

const (
	minPeriod = time.Minute
	maxPeriod = 24 * time.Hour
	minLimit  = 1
	maxLimit  = 50
)

// An Update changes the parts of a Context that are not nil.
type Update struct {
	Period   *time.Duration
	Limit    *uint8
	Priority []Dimension
}

// apply returns the changed context; an error if a part of it is invalid.
func (u Update) apply(c Context) (Context, error) {
	if u.Period != nil {
		c.Period = *u.Period
	}
	if u.Limit != nil {
		c.Limit = *u.Limit
	}
	switch {
	case c.Period < minPeriod || c.Period > maxPeriod:
		return c, fmt.Errorf("period: %s is not between %s and %s", c.Period, minPeriod, maxPeriod)
	case c.Limit < minLimit || c.Limit > maxLimit:
		return c, fmt.Errorf("storage_limit: %d is not between %d and %d percent", c.Limit, minLimit, maxLimit)
	case u.Priority == nil:
		return c, nil
	case len(u.Priority) != len(c.Priority):
		return c, fmt.Errorf("priority: want %d dimensions, got %d", len(c.Priority), len(u.Priority))
	}
	for i, d := range u.Priority {
		if !slices.Contains([]Dimension{ByCause, ByTime}, d) {
			return c, fmt.Errorf("priority[%d]: want %q or %q, got %.32q", i, ByCause, ByTime, d)
		}
		c.Priority[i] = d
	}
	return c, nil
}
