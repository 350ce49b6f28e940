package nexussim

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// A problem is an error answer: a status and what its body says.
type problem struct {
	status  int
	message string
	// hidden is the true reason where the body gives only the status's phrase.
	hidden string
	// allow is the Allow header of a 405.
	allow string
}

func bad(message string) *problem { return &problem{status: http.StatusBadRequest, message: message} }

// internal is a server error: dropshot keeps its detail to the server's log.
func internal(why string) *problem {
	return &problem{status: http.StatusInternalServerError, message: "Internal Server Error", hidden: why}
}

// text is all there is to say about the problem to whoever runs the simulator.
func (p *problem) text() string {
	if p.hidden != "" {
		return p.message + ": " + p.hidden
	}
	return p.message
}

// write answers with the error body of dropshot. The request id is the server's
// own and is in the header too, which the caller has set.
func (p *problem) write(w http.ResponseWriter) {
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	body, _ := json.MarshalIndent(struct {
		RequestID string `json:"request_id"`
		ErrorCode string `json:"error_code,omitempty"`
		Message   string `json:"message"`
	}{RequestID: w.Header().Get(headerRequestID), ErrorCode: p.code(), Message: p.message}, "", "  ")
	_, _ = w.Write(body) // The client may be gone, which is nobody's concern.
}

func (p *problem) code() string {
	if p.status == http.StatusInternalServerError {
		return "Internal"
	}
	return ""
}

const headerRequestID = "X-Request-Id"

func setRequestID(w http.ResponseWriter) { w.Header().Set(headerRequestID, uuid.NewString()) }
