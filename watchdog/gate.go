package watchdog

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// A Gate lets so many steps that load the host run at a time, such as creating and
// uninstalling zones, first come first served. It is safe for concurrent use.
type Gate struct{ places *semaphore.Weighted }

// NewGate returns a gate with so many places.
func NewGate(places int) *Gate { return &Gate{semaphore.NewWeighted(int64(places))} }

// Enter waits for a place until ctx ends. leave gives the place back and must
// be called once.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	if err := g.places.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { g.places.Release(1) }, nil
}
