//go:build !linux

package main

// monotonic is not needed where there is no systemd.
func monotonic() (usec int64, ok bool) { return 0, false }
