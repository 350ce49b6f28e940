package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An Error is a request that the admin API refused.
type Error struct {
	// Status is the answer's HTTP status code.
	Status int `json:"-"`
	// Message is for people.
	Message string `json:"message"`
	// Reason is a vmm.Reason's text, if the agent gave one.
	Reason string `json:"reason,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// IsUnknown reports whether err means that the agent has no such VMM.
func IsUnknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == vmm.Unknown.String()
}

// IsNoZone reports whether err means that the agent has no such zone.
func IsNoZone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == vmm.NoZone.String()
}

var refusalStatus = map[vmm.Reason]int{
	vmm.Unknown:     http.StatusNotFound,
	vmm.NoZone:      http.StatusNotFound,
	vmm.Loading:     http.StatusServiceUnavailable,
	vmm.Terminating: http.StatusConflict,
	vmm.Conflict:    http.StatusConflict,
	vmm.Busy:        http.StatusServiceUnavailable,
	vmm.NotRunning:  http.StatusConflict,
	vmm.Draining:    http.StatusServiceUnavailable,
	vmm.TimedOut:    http.StatusGatewayTimeout,
	vmm.Superseded:  http.StatusConflict,
	vmm.Unreadable:  http.StatusServiceUnavailable,
	vmm.Unwritable:  http.StatusServiceUnavailable,
	vmm.Full:        http.StatusServiceUnavailable,
	vmm.TooEarly:    http.StatusConflict,
	vmm.Evacuating:  http.StatusServiceUnavailable,
	vmm.Invalid:     http.StatusBadRequest,
	vmm.Attached:    http.StatusConflict,
}

// refused converts the error of a route to an Error.
func refused(err error) *Error {
	var (
		own     *Error
		refusal *vmm.Refusal
		routing *echo.HTTPError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refusal):
		status, known := refusalStatus[refusal.Reason]
		if !known {
			status = http.StatusInternalServerError
		}
		return &Error{Status: status, Message: err.Error(), Reason: refusal.Reason.String()}
	case errors.As(err, &tooLong):
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: err.Error()}
	case errors.As(err, &routing):
		return &Error{Status: routing.Code, Message: fmt.Sprint(routing.Message)}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Message: err.Error()}
	}
	return &Error{Status: http.StatusInternalServerError, Message: err.Error()}
}

func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

func (s *Server) answerError(c echo.Context, err error) {
	e := refused(err)
	if err := c.JSON(e.Status, e); err != nil {
		s.log.Debug().Err(err).Msg("a client of the admin API left before its answer")
	}
}
