package sim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
)

// A Status is the answer of GET /sim/state.
type Status struct {
	// VM is the VM as its monitor shows it; nil before PUT /instance.
	VM *server.View `json:"vm"`
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
	status := Status{Calls: map[string]uint64{}}
	s.api.Enter(func() {
		status.Monitors, status.Faults = s.monitors, s.faults.Modes()
		if s.machine != nil {
			vm := s.machine.vm
			view := vm.View()
			view.Migration = s.faults.migrations(view.Migration)
			status.VM, status.Queue, status.Soft = &view, vm.Queue(), vm.Soft()
		}
		for c, n := range s.counts {
			status.Calls[server.CallNames[c]] = n
		}
	})
	return status
}

// control serves the paths below /sim/, which no fault affects.
func (s *Server) control(w http.ResponseWriter, r *http.Request, path []string) {
	var after func()
	a := server.Refusal(dropshot.Plain(http.StatusNotFound, ""))
	switch asked := r.Method + " " + strings.Join(path, "/"); {
	case asked == "GET state":
		a = server.OK(s.Status())
	case asked == "GET faults":
		a = server.OK(s.Faults().Modes())
	case asked == "PUT faults":
		a = s.putFaults(r)
	case len(path) == 2 && r.Method+" "+path[0] == "POST do":
		a, after = s.postDo(path[1], r.URL.Query().Get("id"))
	}
	a.Send(w, dropshot.SetRequestID(w))
	if after != nil {
		afterAnswer(w, after)
	}
}

// putFaults replaces all faults by a JSON array of modes.
func (s *Server) putFaults(r *http.Request) server.Answer {
	body, bad := dropshot.ReadBody(r)
	if bad != nil {
		return server.Refusal(bad)
	}
	var modes []string
	if err := json.Unmarshal(body, &modes); err != nil {
		return server.Refusal(dropshot.BadJSON("want an array of modes, such as [\"ignore-stop\"]: " + err.Error()))
	}
	faults, err := ParseFaults(modes...)
	if err != nil {
		return server.Refusal(dropshot.BadRequest(err.Error()))
	}
	s.SetFaults(faults)
	return server.Answer{Status: http.StatusNoContent}
}

// postDo performs an action, except for what it returns to be done after the answer.
func (s *Server) postDo(action, id string) (server.Answer, func()) {
	if id != "" {
		action += "=" + id
	}
	after, err := s.prepare(action)
	status := http.StatusBadRequest
	switch {
	case err == nil:
		return server.Answer{Status: http.StatusNoContent}, after
	case errors.Is(err, ErrNoSuchAction):
		status = http.StatusNotFound
	case errors.Is(err, ErrNotNow):
		status = http.StatusConflict
	}
	return server.Refusal(&dropshot.Error{Status: status, Message: err.Error()}), nil
}
