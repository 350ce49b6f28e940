package e2e

import "time"

// pace calls step at most once each interval, for as long as span lasts or until
// step returns false.
func pace(span, interval time.Duration, step func() bool) {
	end := time.NewTimer(span)
	defer end.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for step() {
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}
