package srv

import "time"

// Hurry makes a Resolver, before Run, resolve again after ten milliseconds.
func Hurry(r *Resolver) { r.minTTL, r.minPause = 10*time.Millisecond, 10*time.Millisecond }
