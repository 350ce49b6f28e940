// Package bootclock reads the clock that counts from the host's boot, and identifies
// boots. Unlike the wall clock it is never set. Unlike Go's monotonic clock its readings
// can be compared between processes.
package bootclock

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// A Clock returns the time since the host's boot and the id of that boot.
type Clock interface {
	// Now is the time since boot.
	Now() time.Duration
	// Boot returns the id of this boot of the host, which is the same for every
	// process. An error means that the id is unknown now. It does not mean that the
	// host has rebooted.
	Boot() (string, error)
}

// host is the kernel's clock.
type host struct {
	read func() (string, error)
	id   atomic.Pointer[string] // set once it was read
}

// theHost is shared, so that every caller gets the same id.
var theHost = &host{read: bootID}

// Host returns this host's clock.
func Host() Clock { return theHost }

func (*host) Now() time.Duration { return sinceBoot() }

// Boot reads the id until that has succeeded once. The id cannot change while this
// process runs.
func (h *host) Boot() (string, error) {
	if id := h.id.Load(); id != nil {
		return *id, nil
	}
	id, err := h.read()
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	h.id.CompareAndSwap(nil, &id)
	return *h.id.Load(), nil
}

// Differ reports whether two ids prove two different boots. Unknown ids prove nothing.
// Nor do ids of different schemes: the agent may have been updated, or a source may have
// been unavailable.
func Differ(a, b string) bool {
	x, y := scheme(a), scheme(b)
	return x != "" && x == y && a != b
}

// scheme returns how an id was made; empty if it identifies no boot. Ids of digits only
// are boot times, which earlier agents on illumos used. They prove nothing, since the
// kernel changes its boot time when the wall clock is stepped by more than a day.
func scheme(id string) string {
	switch prefix, _, ok := strings.Cut(id, ":"); {
	case strings.Trim(id, "0123456789") == "" || id == "unknown":
		return ""
	case ok:
		return prefix
	}
	return "kernel"
}

// parseKernel checks the kernel's id of its boot, which is a UUID on Linux and macOS. An
// empty or truncated text is an error.
func parseKernel(text string) (string, error) {
	text = strings.TrimSpace(text)
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return "", fmt.Errorf("%.64q is not a boot's UUID", text)
	}
	return text, nil
}
