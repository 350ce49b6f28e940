package propolis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sledagent/sledagent/internal/plain"
)

// maxAnswer is the longest answer that is read, in bytes. Propolis's answers have a few
// hundred.
const maxAnswer = 64 << 10

var (
	errOversized  = fmt.Errorf("answer is longer than %d bytes", maxAnswer)
	errIncomplete = errors.New("answer lacks a required field")
)

// A call is one request of the API with the one status that means success.
type call struct {
	op, method, path string
	body             []byte // nil for none
	want             int
	// statusOnly: the answer's body is not read.
	statusOnly bool
}

// An answer is a response's status and complete body.
type answer struct {
	status int
	body   []byte
}

// do makes the call and returns the body of a successful answer.
func (c *Client) do(ctx context.Context, k call) ([]byte, error) {
	a, err := c.roundTrip(ctx, k)
	c.heard.note(k.op, a, err)
	if err != nil {
		return nil, err
	}
	if a.status == k.want {
		return a.body, nil
	}
	body := readErrorBody(a.body)
	e := &Error{Op: k.op, Status: a.status, Code: body.code, Message: body.message, Kind: errorKind(a.status, body)}
	if e.Kind == Malformed {
		e.Err = fmt.Errorf("want status %d", k.want)
	}
	return nil, e
}

// malformed returns the error for an answer with the right status and a wrong body.
func (k call) malformed(err error) error {
	return &Error{Op: k.op, Status: k.want, Kind: Malformed, Err: fmt.Errorf("read answer: %w", err)}
}

// An errorBody is the content of an error body, fit for a log.
type errorBody struct {
	code, message string
	// whole: the body has all fields that the API's error bodies always have.
	whole bool
}

// readErrorBody reads as much as it can, since the status is the essential part.
func readErrorBody(body []byte) errorBody {
	var e struct {
		Code    any `json:"error_code"`
		Message any `json:"message"`
		Request any `json:"request_id"`
	}
	// A field of a wrong type does not keep the others from being read.
	_ = json.Unmarshal(body, &e)
	code, _ := e.Code.(string)
	message, said := e.Message.(string)
	_, numbered := e.Request.(string)
	return errorBody{code: plain.Line(code, maxText), message: plain.Line(message, maxText), whole: said && numbered}
}
