//go:build linux

package process

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// A handle kills its own boot and no other, and says so.
func TestHandleOfOneBoot(t *testing.T) {
	t.Parallel()
	for _, iso := range isolations(t) {
		if !iso.pidns {
			continue
		}
		m := without(t, iso, "sleep")
		name := prefix + "held"
		running(t, m, name)
		h := m.Hold(name)
		if h == nil || !h.Kill() {
			t.Fatal("a running zone is not killed")
		}
		select {
		case <-h.Ended():
		case <-time.After(time.Minute):
			t.Fatal("it does not end")
		}
		if h.Kill() {
			t.Error("a boot that has ended was killed")
		}
		if err := m.Boot(ctxFor(t), name); err != nil {
			t.Fatal(err)
		}
		if h.Kill() {
			t.Error("the handle of an earlier boot has killed something")
		}
		if info := look(t, m, name); info.State != zone.Running {
			t.Errorf("the next boot is %+v", info)
		}
		remove(t, m, name)
	}
}
