package sim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// A Status is the answer of GET /sim/state.
type Status struct {
	// VM is the VM as its monitor shows it; nil before PUT /instance.
	VM *View `json:"vm"`
	// Queue is the state of the VM's queue; empty without a VM.
	Queue string `json:"queue,omitempty"`
	// Soft is the stop or reboot that waits for the guest; empty if there is none.
	Soft string `json:"soft,omitempty"`
	// Calls counts the received calls by name, regardless of their outcome.
	Calls map[string]uint64 `json:"calls"`
	// Monitors counts the pending monitor calls, including those whose clients have
	// disconnected.
	Monitors int `json:"monitors"`
	// Faults are the modes in force.
	Faults []string `json:"faults"`
}

// Status returns the simulator's state.
func (s *Server) Status() Status {
	s.lock()
	defer s.unlock()
	status := Status{Calls: map[string]uint64{}, Monitors: s.monitors, Faults: s.faults.Modes()}
	if s.vm != nil {
		view := s.vm.shown()
		status.VM, status.Queue = &view, string(s.vm.standing)
		if s.vm.soft != nil {
			status.Soft = map[request]string{stop: "stop", reboot: "reboot"}[s.vm.soft.request]
		}
	}
	for c, n := range s.counts {
		status.Calls[callNames[c]] = n
	}
	return status
}

// control serves the paths below /sim/, which no fault affects.
func (s *Server) control(r *http.Request, path []string) answer {
	switch asked := r.Method + " " + strings.Join(path, "/"); {
	case asked == "GET state":
		return ok(s.Status())
	case asked == "GET faults":
		return ok(s.Faults().Modes())
	case asked == "PUT faults":
		return s.putFaults(r)
	case len(path) == 2 && r.Method+" "+path[0] == "POST do":
		return s.postDo(path[1], r.URL.Query().Get("id"))
	}
	return refusal(dropshot.Plain(http.StatusNotFound, ""))
}

// putFaults replaces all faults by a JSON array of modes.
func (s *Server) putFaults(r *http.Request) answer {
	body, bad := dropshot.ReadBody(r)
	if bad != nil {
		return refusal(bad)
	}
	var modes []string
	if err := json.Unmarshal(body, &modes); err != nil {
		return refusal(dropshot.BadJSON("want an array of modes, such as [\"ignore-stop\"]: " + err.Error()))
	}
	faults, err := ParseFaults(modes...)
	if err != nil {
		return refusal(dropshot.BadRequest(err.Error()))
	}
	s.SetFaults(faults)
	return answer{status: http.StatusNoContent}
}

func (s *Server) postDo(action, id string) answer {
	if id != "" {
		action += "=" + id
	}
	after, err := s.prepare(action)
	status := http.StatusBadRequest
	switch {
	case err == nil:
		return answer{status: http.StatusNoContent, after: after}
	case errors.Is(err, ErrNoSuchAction):
		status = http.StatusNotFound
	case errors.Is(err, ErrNotNow):
		status = http.StatusConflict
	}
	return refusal(&dropshot.Error{Status: status, Message: err.Error()})
}
