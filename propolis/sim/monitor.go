package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

func (s *Server) readMonitor(in incoming) (call, operation, *apiError) {
	if err := monitorShape("", in.body); err != nil {
		return 0, nil, badJSON(err.Error())
	}
	var request struct{ Gen uint64 }
	if err := json.Unmarshal(in.body, &request); err != nil {
		return 0, nil, badJSON(err.Error())
	}
	return callMonitor, func(ctx context.Context) answer { return s.monitor(ctx, request.Gen) }, nil
}

var monitorShape = open(fields{"gen": unsigned(64)}, nil)

// monitor answers with the latest view as soon as its generation is at least
// gen, for as long as the client waits.
func (s *Server) monitor(ctx context.Context, gen uint64) answer {
	v, seen := s.watched()
	if v == nil {
		return noInstance()
	}
	for {
		view, changed := s.see(v, gen, seen)
		if view != nil {
			return answer{status: http.StatusOK, body: view}
		}
		if changed == nil {
			return (&apiError{status: http.StatusGone, Code: "NoInstance",
				Message: fmt.Sprintf("No instance present; will never reach generation %d", gen)}).answer()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return answer{}
		}
	}
}

// watched returns the VM whose changes a monitor will follow, and the
// generation it has now.
func (s *Server) watched() (*vm, uint64) {
	s.lock()
	defer s.unlock()
	if s.vm == nil {
		return nil, 0
	}
	return s.vm, s.vm.view.Gen
}

// see returns a view that answers the monitor, or where to wait for one, or
// neither if there will never be one. A VM whose generations fall answers with
// any change, or nobody would ever learn of it.
func (s *Server) see(v *vm, gen, seen uint64) (*View, <-chan struct{}) {
	s.lock()
	defer s.unlock()
	view := v.view
	switch {
	case view.Gen >= gen, view.Gen < seen:
		return &view, nil
	case v.gone:
		return nil, nil
	}
	return nil, v.wait()
}
