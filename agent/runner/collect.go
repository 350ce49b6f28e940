package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/evidence"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
)

// A Collector saves evidence while a VM still runs; evidence.Store is one.
type Collector interface {
	// Collect returns when it has, or ctx has ended.
	Collect(ctx context.Context, about evidence.Subject) evidence.Collected
	// Path returns where the newest evidence of a VMM is, from memory; empty for none.
	Path(uuid.UUID) string
}

const (
	// beforehand is the part of the time for evidence that is left to the deadline: what
	// ends then must not compete with kills that are due.
	beforehand = 10
	// shortest is the shortest time for evidence; with less, none is collected.
	shortest = 20 * time.Millisecond
)

// collectBefore has evidence collected in the last moments before a deadline: the budget for
// it, or the second half of a time that is shorter than two. It is an effect like others,
// which the removal ends; the deadline is the watchdog's, which knows nothing of it.
func (r *Runner) collectBefore(deadline time.Time) {
	left := time.Until(deadline)
	span := min(r.host.Settings.Evidence(), left/2)
	if r.host.Collector == nil || span < shortest {
		r.end(collecting)
		return
	}
	r.start(effect{name: collecting, after: left - span, run: func(ctx context.Context, _ func(report)) {
		r.collect(ctx, deadline.Add(-span/beforehand))
	}})
}

func (r *Runner) collect(ctx context.Context, until time.Time) {
	begun := time.Now()
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	about := evidence.Subject{ID: r.id, Zone: r.zone}
	if c, ok := r.client.(interface{ Heard() []propolis.Heard }); ok {
		about.Files = append(about.Files, evidence.File{Name: "propolis.txt", Text: propolis.Transcript(c.Heard())})
	}
	got := r.host.Collector.Collect(within, about)
	if ctx.Err() != nil {
		return // it is not wanted any more
	}
	e := vmm.Event{At: time.Now(), Kind: "collected", Text: "nothing", Took: time.Since(begun)}
	if got.Path != "" {
		e.Text = fmt.Sprintf("%d files in %s", got.Files, got.Path)
	}
	if got.Err != nil {
		e.Error = got.Err.Error()
	}
	r.add(e)
}

// collected is where the newest evidence is; empty if there is none.
func (h *Host) collected(id uuid.UUID) string {
	if h.Collector == nil {
		return ""
	}
	return h.Collector.Path(id)
}
