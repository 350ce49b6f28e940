//go:build !linux

package watchdog

// prefer does nothing: setpriority(2) is for whole processes here.
func prefer() (end func()) { return func() {} }
