package proc

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A handle that is closed during a send keeps its descriptor until the send is over, since
// another process could get the number.
func TestHandleInUseIsClosedLater(t *testing.T) {
	t.Parallel()
	me, err := Stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(me.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !h.use() {
		t.Fatal("an open handle cannot be used")
	}
	h.Close()
	h.Close()
	if _, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("while it is used: %v", err)
	}
	h.unuse()
	if err := h.Signal(0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a signal through a closed handle: %v", err)
	}
}

func TestHandleIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	me, err := Stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		h, err := Open(me.ID)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					if err := h.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, os.ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		all.Go(h.Close)
		all.Wait()
		if n := h.uses.Load(); n != closing {
			t.Fatalf("%d calls use it after all have returned", n-closing)
		}
	}
}
