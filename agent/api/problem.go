package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
)

// Error codes of the wire. Nexus acts on the first, and only with status 404.
const (
	codeNoSuchInstance = "NO_SUCH_INSTANCE"
	codeChannelFull    = "INSTANCE_CHANNEL_FULL"
	codeInternal       = "Internal"
)

// A problem is an error as the caller gets it.
type problem struct {
	status int
	// code is the wire's error_code; there is none if it is empty.
	code string
	// message is for the caller; if it is empty the status speaks for itself.
	message string
	// cause is for the log.
	cause error
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.cause.Error()
	}
	return p.text()
}

func (p *problem) Unwrap() error { return p.cause }

func (p *problem) text() string {
	if p.message != "" {
		return p.message
	}
	if phrase := http.StatusText(p.status); phrase != "" {
		return phrase
	}
	return "Status " + strconv.Itoa(p.status)
}

func badRequest(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// problemOf gives an error its status, code and message. What the caller is not
// told stays in cause.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	p := &problem{status: http.StatusInternalServerError, code: codeInternal}
	if r, ok := errors.AsType[*vmm.Refusal](err); ok {
		p = refused(r)
	} else if e, ok := errors.AsType[*propolis.Error](err); ok {
		p = propolisSaid(e.Status)
	} else if e, ok := errors.AsType[*wire.Error](err); ok {
		p = badRequest("unable to parse JSON body: %v", e)
	} else if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		p = &problem{status: e.Code}
	}
	p.cause = err
	return p
}

func refused(r *vmm.Refusal) *problem {
	switch r.Reason {
	case vmm.Unknown:
		return &problem{status: http.StatusNotFound, code: codeNoSuchInstance}
	case vmm.Loading, vmm.Draining:
		return &problem{status: http.StatusServiceUnavailable}
	case vmm.Terminating, vmm.Superseded:
		return &problem{status: http.StatusGone, code: codeNoSuchInstance, message: "Instance is terminating"}
	case vmm.Conflict:
		return &problem{status: http.StatusConflict, message: r.Detail}
	case vmm.Busy:
		return &problem{status: http.StatusServiceUnavailable, code: codeChannelFull}
	default: // NotRunning, TimedOut: the reference has no better word either
		return &problem{status: http.StatusInternalServerError, code: codeInternal}
	}
}

// propolisSaid passes on what Propolis answered, but neither its code, which
// means nothing to Nexus, nor its words. Status 0 is no answer.
func propolisSaid(status int) *problem {
	if status >= 400 && status <= 499 || status == http.StatusServiceUnavailable {
		return &problem{status: status}
	}
	return &problem{status: http.StatusInternalServerError, code: codeInternal}
}

// errorBody is the wire's Error.
type errorBody struct {
	RequestID string `json:"request_id"`
	Code      string `json:"error_code,omitempty"`
	Message   string `json:"message"`
}

// write sends the problem, pretty-printed as the reference does.
func (p *problem) write(w http.ResponseWriter, requestID string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	// Three strings always encode, and a client that is gone needs no answer.
	_ = enc.Encode(errorBody{RequestID: requestID, Code: p.code, Message: p.text()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes())
}

// show quotes what a caller sent, cut to a length that an error can carry.
func show(s string) string { return strconv.Quote(cut(s)) }

func cut(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
