package propolis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/sledagent/sledagent/internal/plain"
)

// A Kind classifies a failed call. The zero Kind means a nil error or one that is not
// from a call.
type Kind int

const (
	// NoInstance: the server is up and has no VM. It never had one, or its VM has ended.
	// As the answer to a state change it may also mean that the VM is being made or being
	// released. Only the API's own error has this Kind (see errorKind).
	NoInstance Kind = iota + 1
	// AlreadyInitialized: the server has a VM, or is making one. Instance returns whose.
	AlreadyInitialized
	// Refused: another 4xx. Also a request that cannot be encoded for the API and was not
	// sent (Status 0).
	Refused
	// Unavailable: 503.
	Unavailable
	// Broken: another 5xx.
	Broken
	// ConnRefused: the connection was refused, so no process listened at that moment. No
	// other error means this.
	ConnRefused
	// NotConnected: connecting failed for another reason, such as a missing route, a lack
	// of descriptors or a firewall of this host. That proves nothing about the server.
	// The request was not sent.
	NotConnected
	// Interrupted: the connection ended before the complete answer arrived, or failed in
	// another way that does not show whether the server is alive. The request may have
	// been carried out.
	Interrupted
	// Timeout: no complete answer within the call's budget. The request may have been
	// carried out.
	Timeout
	// Malformed: an answer that is not part of the API.
	Malformed
	// Canceled: the caller's context was canceled.
	Canceled
)

var kindNames = [...]string{"unclassified", "no instance", "already initialized", "refused", "unavailable",
	"server error", "connection refused", "not connected", "interrupted", "timeout", "malformed answer", "canceled"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// An Error is a call that failed.
type Error struct {
	// Op is the request: the method, the path and, for a state change, the action.
	Op string
	// Status is the answer's status, 0 without an answer.
	Status int
	// Code and Message come from the error body, trimmed, on one line, and truncated to a
	// length fit for a log.
	Code, Message string
	Kind          Kind
	// Err is the cause if it is not in the answer; may be nil.
	Err error
}

// Error returns a single line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": " + e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + plain.Line(e.Err.Error(), maxText))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of the Error in err's chain, or 0 if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// errorKind classifies an unsuccessful answer. A code counts only in a complete error
// body and with the statuses that Propolis uses for it. NoInstance ends a VM, and a proxy
// or another program at the server's address may answer 404, 410 or 424 for many other
// reasons.
func errorKind(status int, body errorBody) Kind {
	code := strings.ToLower(strings.TrimSpace(body.code))
	switch {
	case status < 400 || status > 599:
		return Malformed
	case body.whole && code == "noinstance" && (status == http.StatusFailedDependency || status == http.StatusGone):
		return NoInstance
	case body.whole && (code == "alreadyinitialized" || code == "alreadyrunning") && status == http.StatusConflict:
		return AlreadyInitialized
	case status == http.StatusServiceUnavailable:
		return Unavailable
	case status >= 500:
		return Broken
	}
	return Refused
}

// dialKind classifies an error of a dial. ctx is the call's own context.
func dialKind(ctx context.Context, err error) Kind {
	switch kind := transportKind(ctx, err); {
	case kind != Interrupted:
		return kind
	case errors.Is(err, syscall.ECONNREFUSED):
		return ConnRefused
	}
	return NotConnected
}

// answerErrorKind classifies an error of reading an answer.
func answerErrorKind(ctx context.Context, err error) Kind {
	if ctx.Err() == nil && !disconnected(err) && !timedOut(err) {
		return Malformed
	}
	return transportKind(ctx, err)
}

// transportKind classifies an error that proves nothing about the server.
func transportKind(ctx context.Context, err error) Kind {
	switch ctxErr := ctx.Err(); {
	case errors.Is(ctxErr, context.Canceled):
		return Canceled
	case ctxErr != nil, timedOut(err):
		return Timeout
	}
	return Interrupted
}

// timedOut reports whether err is a timeout. EAGAIN claims to be one, but here it is a
// lack of resources.
func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() && !errors.Is(err, syscall.EAGAIN)
}

// disconnected reports whether err is an error of the connection, not of the answer.
func disconnected(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return true
	}
	_, op := errors.AsType[*net.OpError](err)
	_, no := errors.AsType[syscall.Errno](err)
	return op || no
}

// maxText is the most bytes of a server's text in an error: enough for Propolis's longest
// messages, and at most a paragraph in a log.
const maxText = 512
