//go:build !linux

package watchdog

// A preference does nothing: setpriority(2) is for whole processes here.
type preference struct{}

func (*preference) here() {}
func (*preference) end()  {}
