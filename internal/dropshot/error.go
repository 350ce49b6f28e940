package dropshot

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// An Error is an error answer: a status and its body.
type Error struct {
	Status int `json:"-"`
	// RequestID is set when the answer is sent.
	RequestID string `json:"request_id"`
	Message   string `json:"message"`
	Code      string `json:"error_code,omitempty"`

	allow string // the header of a 405
}

// BadRequest is a 400.
func BadRequest(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Message: message}
}

// BadJSON is the 400 for a malformed body.
func BadJSON(detail string) *Error { return BadRequest("unable to parse JSON body: " + detail) }

// Plain is an error with only a status and a code.
func Plain(status int, code string) *Error {
	return &Error{Status: status, Message: http.StatusText(status), Code: code}
}

// Headers sets the error's additional headers.
func (e *Error) Headers(h http.Header) {
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
}

// Body renders the body: errors are pretty-printed, and have the request's id.
func (e *Error) Body(request string) []byte {
	body := *e
	body.RequestID = request
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		panic(err) // strings can be encoded
	}
	return text
}

// Write answers with the error. SetRequestID comes before it.
func (e *Error) Write(w http.ResponseWriter) {
	e.Headers(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Body(w.Header().Get(RequestID))) // The client may be gone.
}

// RequestID is the header with the server's own id of a request.
const RequestID = "X-Request-Id"

// SetRequestID gives a request an id. An id sent by the client is ignored.
func SetRequestID(w http.ResponseWriter) string {
	id := uuid.NewString()
	w.Header().Set(RequestID, id)
	return id
}
