package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// now makes an operation of something that never waits.
func now(do func() answer) operation { return func(context.Context) answer { return do() } }

func (s *Server) readGet(incoming) (call, operation, *apiError) {
	return callGet, now(func() answer {
		return s.withVM(initialising, func(v *vm) answer {
			instance := map[string]any{"properties": v.made.properties, "state": v.view.State}
			return answer{status: http.StatusOK, body: map[string]any{"instance": instance}}
		})
	}), nil
}

func (s *Server) readSpec(incoming) (call, operation, *apiError) {
	return callSpec, now(func() answer {
		return s.withVM(initialising, func(v *vm) answer {
			spec := map[string]any{"type": "Present", "value": v.made.spec}
			if v.made.target && v.life == initialising {
				spec = map[string]any{"type": "WaitingForMigrationSource"}
			}
			return answer{status: http.StatusOK, body: map[string]any{"properties": v.made.properties,
				"state": v.view.State, "spec": spec}}
		})
	}), nil
}

func (s *Server) readMigration(incoming) (call, operation, *apiError) {
	return callMigration, now(func() answer {
		return s.withVM(initialising, func(v *vm) answer {
			return answer{status: http.StatusOK, body: v.view.Migration}
		})
	}), nil
}

func (s *Server) readSnapshot(in incoming) (call, operation, *apiError) {
	if _, err := uuid.Parse(in.vars[1]); err != nil {
		return 0, nil, badRequest("bad parameter in URL path: " + err.Error())
	}
	return callSnapshot, now(func() answer {
		return s.withVM(active, func(v *vm) answer {
			if !slices.Contains(v.made.crucible, in.vars[0]) {
				return plain(http.StatusNotFound, "").answer()
			}
			return answer{status: http.StatusOK, body: jsonNull}
		})
	}), nil
}

// withVM calls do under the lock if there is a VM that has come to need and, if
// need is active, gone no further.
func (s *Server) withVM(need life, do func(*vm) answer) answer {
	s.lock()
	defer s.unlock()
	if s.vm == nil || need == active && s.vm.life != active {
		return noInstance()
	}
	return do(s.vm)
}

var stateRequests = map[string]struct {
	call    call
	request request
}{"Run": {callRun, run}, "Stop": {callStop, stop}, "Reboot": {callReboot, reboot}}

func (s *Server) readState(in incoming) (call, operation, *apiError) {
	var word string
	if err := json.Unmarshal(in.body, &word); err != nil {
		return 0, nil, badJSON("expected a string")
	}
	wanted, ok := stateRequests[word]
	if !ok {
		return 0, nil, badJSON("unknown variant `" + word + "`, expected one of `Run`, `Stop`, `Reboot`")
	}
	return wanted.call, now(func() answer {
		return s.withVM(active, func(v *vm) answer {
			if ruling := v.ask(wanted.request); ruling.denied != "" {
				return plain(http.StatusForbidden, "instance state change not allowed: "+ruling.denied).answer()
			}
			return answer{status: http.StatusNoContent}
		})
	}), nil
}

func (s *Server) readEnsure(in incoming) (call, operation, *apiError) {
	made, err := decodeEnsure(in.body, in.version)
	if err != nil {
		return 0, nil, err
	}
	return callEnsure, func(ctx context.Context) answer { return s.ensure(ctx, made) }, nil
}

// ensure makes a VM and waits until its objects exist. That goes on if the
// client gives up.
func (s *Server) ensure(ctx context.Context, made *ensured) answer {
	v := s.create(made)
	if v == nil {
		return (&apiError{status: http.StatusConflict, Code: "AlreadyInitialized",
			Message: "instance already initialized"}).answer()
	}
	for {
		outcome, changed := s.creation(v)
		if outcome != nil {
			return *outcome
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return answer{}
		}
	}
}

// create puts a new VM in the place of none or of one that has ended; nil if
// there is one that has not.
func (s *Server) create(made *ensured) *vm {
	s.lock()
	defer s.unlock()
	if s.vm != nil && s.vm.life != ended || s.closed() {
		return nil
	}
	if s.vm != nil {
		s.vm.leave()
	}
	v := &vm{s: s, made: made}
	if s.faults.backwards {
		v.view.Gen = fallFrom + 1
	}
	s.vm = v
	if made.target {
		v.standing = startPending
		v.show(Sync)
		v.publish(Migrating)
		v.script = s.times.immigrate(s.faults.failMigration)
	} else {
		v.publish(Creating)
		v.script = s.times.create(s.faults.failCreate)
	}
	v.advance()
	return v
}

// fallFrom is the first generation of a VM whose generations fall.
const fallFrom = 1000

// creation tells how PUT /instance ends, or where to wait for its end.
func (s *Server) creation(v *vm) (*answer, <-chan struct{}) {
	s.lock()
	defer s.unlock()
	switch {
	case v.unmade || v.gone:
		a := plain(http.StatusInternalServerError, "Internal").answer()
		return &a, nil
	case v.life == initialising:
		return nil, v.wait()
	}
	var migrate any
	if v.made.target {
		migrate = map[string]any{"migration_id": v.made.migration}
	}
	return &answer{status: http.StatusCreated, body: map[string]any{"migrate": migrate}}, nil
}
