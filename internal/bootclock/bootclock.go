// Package bootclock reads the clock that counts from the host's boot, and tells
// one boot from the next. Unlike the wall clock it is never set, and unlike a
// process's own monotonic clock its readings mean the same in the next process.
package bootclock

import "time"

// A Clock tells how long ago the host has booted, and which boot that was.
type Clock interface {
	// Now is the time since boot.
	Now() time.Duration
	// Boot names this boot of the host. It is the same for every process.
	Boot() string
}

// host reads the kernel's clock; the id is read once, since it cannot change
// while the process lives.
type host struct{ boot string }

// Host is this host's clock. A host that cannot say which boot this is gets a
// fixed name: then a reboot is noticed by the zones that are gone.
func Host() Clock {
	boot, err := bootID()
	if err != nil {
		boot = "unknown"
	}
	return host{boot}
}

func (host) Now() time.Duration { return sinceBoot() }
func (h host) Boot() string     { return h.boot }
