package dropshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// MaxBody is the limit of both APIs in production, in bytes.
const MaxBody = 1 << 20

// Body reads a request's body and checks it.
func (o *Operation) Body(r *http.Request) (json.RawMessage, *Error) {
	body, refusal := ReadBody(r)
	if refusal != nil {
		return nil, refusal
	}
	if _, err := o.Check(body); err != nil {
		return nil, BadJSON(err.Error())
	}
	return body, nil
}

// ReadBody returns the first JSON value of a body. A missing content type means JSON.
// The limit includes what follows the value.
func ReadBody(r *http.Request) (json.RawMessage, *Error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	switch {
	case err != nil:
		return nil, BadRequest("error reading request body: " + err.Error())
	case len(body) > MaxBody:
		return nil, BadRequest(fmt.Sprintf("request body exceeded maximum size of %d bytes", MaxBody))
	}
	bare, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind, _, err := mime.ParseMediaType(bare); bare != "" && (err != nil || kind != "application/json") {
		return nil, BadRequest(fmt.Sprintf(`expected content type "application/json", got %q`, strings.TrimSpace(bare)))
	}
	var first json.RawMessage
	switch err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, BadJSON("EOF while parsing a value")
	case err != nil:
		return nil, BadJSON(err.Error())
	}
	return first, nil
}
