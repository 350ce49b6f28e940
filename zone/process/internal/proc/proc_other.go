//go:build !linux && !darwin

package proc

import "syscall"

// Check fails.
func Check() error { return ErrUnsupported }

// BootID fails with ErrUnsupported, as all else here does: the process backend
// is not made for this system.
func BootID() (string, error) { return "", ErrUnsupported }

// Stat fails.
func Stat(int) (Info, error) { return Info{}, ErrUnsupported }

// list fails.
func list() ([]Info, error) { return nil, ErrUnsupported }

// HasEnv is false.
func HasEnv(int, string) bool { return false }

// HasArgs is false.
func HasArgs(int, ...string) bool { return false }

// Subreaper fails.
func Subreaper() error { return ErrUnsupported }

// A Handle never exists here.
type Handle struct{}

// Open fails.
func Open(ID) (*Handle, error) { return nil, ErrUnsupported }

// Started fails.
func Started(int, int) (*Handle, error) { return nil, ErrUnsupported }

// ID returns nobody.
func (*Handle) ID() ID { return ID{} }

// Done never ends.
func (*Handle) Done() <-chan struct{} { return nil }

// Signal fails.
func (*Handle) Signal(syscall.Signal) error { return ErrUnsupported }

// Close does nothing.
func (*Handle) Close() {}

// A Poller never exists here.
type Poller struct{}

// NewPoller fails.
func NewPoller() (*Poller, error) { return nil, ErrUnsupported }

// Add fails.
func (*Poller) Add(*Handle, func(End)) error { return ErrUnsupported }

// Close does nothing.
func (*Poller) Close() error { return nil }
