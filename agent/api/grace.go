package api

import (
	"net/url"
	"time"
)

// parseGrace reads the grace period of a stop out of a query; nil if the query
// has none. Half-understood queries are refused: a stop that was meant to be
// gentle must not become a sudden one, nor the other way round.
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
