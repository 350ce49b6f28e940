package sim

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// monitor answers with the latest view once its generation is at least gen, even if the
// client has disconnected.
func (s *Server) monitor(ctx context.Context, gen uint64) answer {
	v, seen := s.watch(1)
	defer s.watch(-1)
	if v == nil {
		return noInstance()
	}
	return s.await(ctx, func() (answer, bool) { return v.answerMonitor(gen, seen) })
}

// watch counts a monitor and returns the VM that it follows with its present generation.
func (s *Server) watch(by int) (*vm, uint64) {
	s.lock()
	defer s.unlock()
	s.monitors += by
	if s.vm == nil {
		return nil, 0
	}
	return s.vm, s.vm.view.Gen
}

// answerMonitor answers, or reports that the generation has not been reached. If the
// generations fall, any change is answered; otherwise no monitor would ever show it.
func (v *vm) answerMonitor(gen, seen uint64) (answer, bool) {
	view := v.shown()
	switch {
	case view.Gen >= gen, view.Gen < seen && v.s.faults.backwards:
		return ok(view), true
	case v.gone:
		return refusal(&dropshot.Error{Status: http.StatusGone, Code: "NoInstance",
			Message: fmt.Sprintf("No instance present; will never reach generation %d", gen)}), true
	}
	return answer{}, false
}

// await calls done with the lock held, after each change, until it returns an answer. A
// zero answer means that ctx has ended.
func (s *Server) await(ctx context.Context, done func() (answer, bool)) answer {
	for {
		s.lock()
		a, has := done()
		changed := s.wait()
		s.unlock()
		if has {
			return a
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return answer{}
		}
	}
}

// shown returns the VM's view as changed by faults. The lock must be held.
func (v *vm) shown() View {
	view, f := v.view, &v.s.faults
	if id := f.unknownMigration; id != uuid.Nil {
		for _, m := range []**Migration{&view.Migration.In, &view.Migration.Out} {
			if *m != nil {
				*m = &Migration{ID: id, State: (*m).State}
			}
		}
		if view.Migration == (Migrations{}) {
			view.Migration.Out = &Migration{ID: id, State: ErrorPhase}
		}
	}
	switch m := &view.Migration; {
	case !f.bothMigrations:
	case v.leaving || m.In == nil:
		m.In = m.Out
	default:
		m.Out = m.In
	}
	return view
}
