//go:build !linux && !darwin

package proc

import "syscall"

// Check fails.
func Check() error { return ErrUnsupported }

// Stat fails with ErrUnsupported, like all functions here: the process backend does
// not support this system.
func Stat(int) (Info, error) { return Info{}, ErrUnsupported }

// list fails.
func list() ([]Info, error) { return nil, ErrUnsupported }

// Args fails.
func Args(int) ([]string, error) { return nil, ErrUnsupported }

// Started fails.
func Started(int, string) (args []string, value string, err error) { return nil, "", ErrUnsupported }

// Users fails.
func Users(int) (real, effective int, err error) { return 0, 0, ErrUnsupported }

// Group fails.
func Group(int) (string, error) { return "", ErrUnsupported }

// Subreaper fails.
func Subreaper() error { return ErrUnsupported }

// A Handle never exists here.
type Handle struct{}

// Open fails.
func Open(ID) (*Handle, error) { return nil, ErrUnsupported }

// Child fails.
func Child(int) (*Handle, error) { return nil, ErrUnsupported }

// ID returns the zero ID.
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
