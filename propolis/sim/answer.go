package sim

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// An answer is a whole response, made before a byte of it is sent: faults may
// spoil how it is sent.
type answer struct {
	status int
	body   any    // encoded as JSON; nil for none
	allow  string // the header of a 405
	after  func() // called once the answer is out
}

// An apiError is the error body of the API. It carries its status with it.
type apiError struct {
	status  int
	allow   string
	Request string `json:"request_id"`
	Message string `json:"message"`
	Code    string `json:"error_code,omitempty"`
}

func (e *apiError) answer() answer { return answer{status: e.status, body: e, allow: e.allow} }

func badRequest(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, Message: message}
}

func badJSON(detail string) *apiError {
	return badRequest("unable to parse JSON body: " + detail)
}

// plain is an error that says no more than its status.
func plain(status int, code string) *apiError {
	return &apiError{status: status, Message: http.StatusText(status), Code: code}
}

func noInstance() answer {
	return (&apiError{status: http.StatusFailedDependency, Code: "NoInstance",
		Message: "Server not initialized (no instance)"}).answer()
}

// encode renders the answer's body: errors pretty-printed and with the
// request's id, all else compact.
func (a answer) encode(request uuid.UUID) ([]byte, error) {
	switch body := a.body.(type) {
	case nil:
		return nil, nil
	case *apiError:
		e := *body
		e.Request = request.String()
		return json.MarshalIndent(e, "", "  ")
	default:
		return json.Marshal(body)
	}
}

// jsonNull is the body of an answer whose value is null.
var jsonNull = json.RawMessage("null")
