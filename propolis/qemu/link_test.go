package qemu

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
)

// A QEMU that stops to read ends the migration in time.
func TestStalledStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		defer here.Close()
		for range 2 { // The budget is each piece's own.
			if err := pour(here, []byte("memory")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
	})
}
