package api

import (
	"net/url"
	"time"
)

// parseGrace parses the grace period of a stop from a query; nil if there is none.
// Ambiguous queries are refused, so that a graceful stop does not become a forced one or
// the reverse.
func parseGrace(query string) (*time.Duration, error) {
	if query == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, badRequest("bad query, so whether it has a grace is unknown: %v", err)
	}
	given := values["grace"]
	switch len(given) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, badRequest("grace: want one value, got %d", len(given))
	}
	grace, err := time.ParseDuration(given[0])
	if err != nil {
		return nil, badRequest(`grace: want a duration such as "30s" or "5m", got %s`, show(given[0]))
	}
	if grace < 0 {
		return nil, badRequest("grace: want a duration of 0 or more, got %s", show(given[0]))
	}
	return &grace, nil
}
