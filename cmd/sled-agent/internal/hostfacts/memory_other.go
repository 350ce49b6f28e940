//go:build !linux

package hostfacts

import "github.com/sledagent/sledagent/zone/illumos/bhyve"

// Memory returns the size of the host's memory in bytes.
func Memory() (uint64, error) { return bhyve.PhysicalMemory() }
