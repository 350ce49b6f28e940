package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// monitor answers with the latest view once its generation is at least gen, even if the
// client has disconnected.
func (s *Server) monitor(ctx context.Context, gen uint64) Answer {
	s.lock()
	v, seen := s.vm, uint64(0)
	if v != nil {
		seen = v.view.Gen
	}
	s.unlock()
	if v == nil {
		return NoInstance()
	}
	return s.await(ctx, func() (Answer, bool) { return v.answerMonitor(gen, seen) })
}

// answerMonitor answers, or reports that the generation has not been reached. If the
// generations fall, any change is answered; otherwise no monitor would ever show it.
func (v *VM) answerMonitor(gen, seen uint64) (Answer, bool) {
	switch {
	case v.view.Gen >= gen, v.view.Gen < seen && v.s.defects.Backwards:
		return OK(v.view), true
	case v.gone:
		return Refusal(&dropshot.Error{Status: http.StatusGone, Code: "NoInstance",
			Message: fmt.Sprintf("No instance present; will never reach generation %d", gen)}), true
	}
	return Answer{}, false
}

// await calls done with the lock held, after each change, until it returns an answer. A
// zero answer means that ctx has ended.
func (s *Server) await(ctx context.Context, done func() (Answer, bool)) Answer {
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
			return Answer{}
		}
	}
}
