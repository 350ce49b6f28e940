package illumos

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
)

func TestZoneadm(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testPrefix+"a", zone.Running)
	name, printed, exit, err := m.Zoneadm(t.Context())
	if name != "zoneadm list -cip" || !strings.Contains(printed, ":"+testPrefix+"a:running:") || exit != 0 || err != nil {
		t.Errorf("got %q, %q, %d, %v", name, printed, exit, err)
	}
	h.on("zoneadm-list", "echo out of memory >&2; exit 3")
	if _, printed, exit, err = m.Zoneadm(t.Context()); printed != "out of memory" || exit != 3 || err != nil {
		t.Errorf("of one that fails: %q, %d, %v", printed, exit, err)
	}
	h.on("zoneadm-list", "kill -9 $$")
	if _, _, _, err = m.Zoneadm(t.Context()); err == nil {
		t.Error("of one that is killed: no error")
	}
	h.on("zoneadm-list", "sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, _, err = m.Zoneadm(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("of one that hangs: %v", err)
	}
	h.on("zoneadm-list", "")
}
