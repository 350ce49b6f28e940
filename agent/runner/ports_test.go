package runner

import (
	"context"
	"sync"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

type twoAtATime struct {
	zone.Manager
	entered sync.WaitGroup
}

func (m *twoAtATime) Remove(context.Context, zone.Rung, string) error {
	m.entered.Done()
	m.entered.Wait()
	return nil
}

type freePorts struct{}

func (freePorts) Apply(context.Context, zone.Port) error   { return nil }
func (freePorts) Release(context.Context, zone.Port) error { return nil }

// A removal gives up a try that exceeds its budget, and the next try runs beside it. The
// race detector judges.
func TestTriesToReleaseRunSideBySide(t *testing.T) {
	t.Parallel()
	zones := new(twoAtATime)
	zones.entered.Add(2)
	r := &Runner{host: &Host{Ports: freePorts{}}, portCall: make(chan struct{}, 1)}
	m := &releasing{Manager: zones, r: r}
	var tries sync.WaitGroup
	for range 2 {
		tries.Go(func() {
			if err := m.Remove(t.Context(), zone.RungRelease, "z"); err != nil {
				t.Error(err)
			}
		})
	}
	tries.Wait()
}
