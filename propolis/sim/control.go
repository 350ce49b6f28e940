package sim

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// A Status is what GET /sim/state shows.
type Status struct {
	// VM is the VM as its monitor shows it; nil before PUT /instance.
	VM *View `json:"vm"`
	// Queue says what the VM's queue has been promised; empty without a VM.
	Queue string `json:"queue,omitempty"`
	// Calls counts the calls that came in, whatever became of them, by name.
	Calls map[string]uint64 `json:"calls"`
	// Faults are the modes in force.
	Faults []string `json:"faults"`
}

// Status returns what the simulator is doing.
func (s *Server) Status() Status {
	s.lock()
	defer s.unlock()
	status := Status{Calls: map[string]uint64{}, Faults: Faults{s.faults}.Modes()}
	if s.vm != nil {
		view := s.vm.view
		status.VM, status.Queue = &view, s.vm.standing.String()
	}
	for c, n := range s.counts {
		status.Calls[callNames[c]] = n
	}
	return status
}

// control serves what is below /sim/. No fault touches it.
func (s *Server) control(r *http.Request, path []string) answer {
	at := func(method string, segments ...string) bool {
		ok := slices.EqualFunc(segments, path, func(want, got string) bool { return want == "*" || want == got })
		return ok && r.Method == method
	}
	switch {
	case at("GET", "state"):
		return answer{status: http.StatusOK, body: s.Status()}
	case at("GET", "faults"):
		return answer{status: http.StatusOK, body: s.Faults().Modes()}
	case at("PUT", "faults"):
		return s.putFaults(r)
	case at("POST", "do", "*"):
		return s.postDo(path[1], r.URL.Query().Get("id"))
	}
	return plain(http.StatusNotFound, "").answer()
}

// putFaults replaces all faults by those of a JSON array of modes.
func (s *Server) putFaults(r *http.Request) answer {
	body, refusal := readBody(r)
	if refusal != nil {
		return refusal.answer()
	}
	var modes []string
	if err := json.Unmarshal(body, &modes); err != nil {
		return badJSON("want an array of modes, such as [\"ignore-stop\"]: " + err.Error()).answer()
	}
	faults, err := ParseFaults(modes...)
	if err != nil {
		return badRequest(err.Error()).answer()
	}
	s.SetFaults(faults)
	return answer{status: http.StatusNoContent}
}

func (s *Server) postDo(action, id string) answer {
	if id != "" {
		action += "=" + id
	}
	after, err := s.prepare(action)
	refusal := &apiError{status: http.StatusBadRequest}
	switch {
	case err == nil:
		return answer{status: http.StatusNoContent, after: after}
	case errors.Is(err, ErrNoSuchAction):
		refusal.status = http.StatusNotFound
	case errors.Is(err, ErrNotNow):
		refusal.status = http.StatusConflict
	}
	refusal.Message = err.Error()
	return refusal.answer()
}
