//go:build !linux && !illumos

package admin

import (
	"errors"
	"syscall"
)

// peerOf is not implemented: the mode of the socket decides.
func peerOf(syscall.Conn) (peer, error) { return peer{}, errors.ErrUnsupported }
