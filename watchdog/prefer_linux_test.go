package watchdog

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread is preferred while it is used for a pass, and then as before.
func TestPreferenceEnds(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	look := func() unix.SchedAttr {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return *attr
	}
	before := look()
	for range 2 {
		var p preference
		p.here()
		p.here()
		during := look()
		if len(p.threads) == 0 && during != before {
			t.Errorf("it is %+v, and nothing is known of that", during)
		}
		if len(p.threads) == 1 && during.Policy != unix.SCHED_FIFO && during.Nice != nicest {
			t.Errorf("it is %+v, and was %+v", during, before)
		}
		if len(p.threads) > 1 {
			t.Errorf("one thread is known %d times", len(p.threads))
		}
		p.end()
		if after := look(); after != before {
			t.Errorf("afterwards it is %+v, and was %+v", after, before)
		}
	}
	var none *preference
	none.here() // does nothing
}
