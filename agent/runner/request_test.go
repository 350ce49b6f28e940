package runner

import (
	"errors"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// What ends a VMM does not wait behind other requests, and is never refused because there are
// too many.
func TestEndsHaveAQueueOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := &Runner{requests: make(chan request), urgent: make(chan request, 1), ended: make(chan struct{})}
	for _, in := range []vmm.Input{vmm.Stop{}, vmm.Unregister{}, vmm.Kill{}} {
		if err := r.post(request{ctx: t.Context(), in: in}); err != nil {
			t.Errorf("%s: %v", in.Kind(), err)
			continue
		}
		if q := <-r.urgent; q.in.Kind() != in.Kind() {
			t.Errorf("%s is first", q.in.Kind())
		}
	}
	var busy *vmm.Refusal
	if err := r.post(request{ctx: t.Context(), in: vmm.Start{}}); !errors.As(err, &busy) || busy.Reason != vmm.Busy {
		t.Errorf("a start among many requests: %v", err)
	}
}
