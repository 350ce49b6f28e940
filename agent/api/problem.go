package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/propolis"
)

// Error codes on the wire. Nexus acts on the first, and only with status 404, and on the
// two about the sled in the answer to a registration.
const (
	codeNoSuchInstance = "NO_SUCH_INSTANCE"
	codeChannelFull    = "INSTANCE_CHANNEL_FULL"
	codeEvacuating     = "SLED_EVACUATING"
	codeNotYetLoaded   = "SLED_CONFIG_NOT_YET_LOADED"
	codeSubnetAttached = "SUBNET_ALREADY_ATTACHED"
	codeInternal       = "Internal"
)

// A problem is an error with its answer.
type problem struct {
	status int
	// code is the error_code; empty for none.
	code string
	// message is for the client; if it is empty the status's text is used.
	message string
	// cause is logged only.
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

func unavailable(err error) *problem {
	return &problem{status: http.StatusServiceUnavailable, message: err.Error(), cause: err}
}

// problemOf returns an error's status, code and message. Details that the client must
// not see stay in cause.
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
	case vmm.Invalid:
		return badRequest("%s", r.Detail)
	case vmm.Attached:
		return &problem{status: http.StatusConflict, code: codeSubnetAttached, message: "subnet " + r.Detail + " is attached already"}
	case vmm.Unwritable:
		return &problem{status: http.StatusServiceUnavailable, message: "ledger cannot be written: " + r.Detail}
	case vmm.Full, vmm.Unreadable:
		return &problem{status: http.StatusServiceUnavailable, message: r.Error()}
	case vmm.Evacuating:
		return &problem{status: http.StatusServiceUnavailable, code: codeEvacuating, message: r.Error()}
	case vmm.TooEarly:
		return &problem{status: http.StatusForbidden, message: r.Detail}
	case vmm.Busy:
		return &problem{status: http.StatusServiceUnavailable, code: codeChannelFull}
	default: // NotRunning, TimedOut: the reference has no better code
		return &problem{status: http.StatusInternalServerError, code: codeInternal}
	}
}

// propolisSaid passes on a status of Propolis, without its code, which Nexus does not
// know, and its message. Status 0 means no answer.
func propolisSaid(status int) *problem {
	if status >= 400 && status <= 499 || status == http.StatusServiceUnavailable {
		return &problem{status: status}
	}
	return &problem{status: http.StatusInternalServerError, code: codeInternal}
}

// An Error is an error on the wire, returned by a Client.
type Error struct {
	// Status is the answer's HTTP status code.
	Status    int    `json:"-"`
	RequestID string `json:"request_id"`
	// Code is empty for most errors.
	Code    string `json:"error_code,omitempty"`
	Message string `json:"message"`
}

// answerError sends an error, pretty-printed as the reference does.
func answerError(c echo.Context, err error) {
	p := problemOf(err)
	// The client may have disconnected.
	_ = c.JSONPretty(p.status, Error{RequestID: requestID(c), Code: p.code, Message: p.text()}, "  ")
}

// show quotes a client's text, cut to a length that fits an error.
func show(s string) string { return strconv.Quote(cut(s)) }

func cut(s string) string { return plain.Clip(s, 128) }
