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
	"unicode"
)

// A Kind says what a failed call tells the caller. The zero Kind is no kind: a
// nil error, or one that did not come from a call.
type Kind int

const (
	// NoInstance: the server is up and has no VM, never had one or is past its
	// end. While a VM is being run down every state change is answered so.
	NoInstance Kind = iota + 1
	// AlreadyInitialized: the server has a VM already, or is making one.
	AlreadyInitialized
	// Refused: another 4xx; also a request that cannot be put in the API's words
	// and was not sent (Status 0).
	Refused
	// Unavailable: 503.
	Unavailable
	// Broken: another 5xx.
	Broken
	// Unreachable: nobody listens. The connection was refused, or no route
	// leads to the address.
	Unreachable
	// Interrupted: the connection ended before the whole answer was there, or
	// failed in another way that says nothing of whether the server is alive.
	// The request may have been carried out.
	Interrupted
	// Timeout: no whole answer within the call's budget. The request may have
	// been carried out.
	Timeout
	// Malformed: an answer that the API does not know.
	Malformed
	// Canceled: the caller's context was canceled.
	Canceled
)

var kindNames = [...]string{"unclassified", "no instance", "already initialized", "refused", "unavailable",
	"server error", "unreachable", "interrupted", "timeout", "malformed answer", "canceled"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// An Error is a call that failed.
type Error struct {
	// Op is the request: method, path and, for a state change, the action.
	Op string
	// Status is the answer's status; 0 if there was none.
	Status int
	// Code and Message are the error body's, trimmed, on one line and cut to a
	// length that can be logged.
	Code, Message string
	Kind          Kind
	// Err is the cause where the answer itself does not tell it; may be nil.
	Err error
}

// Error returns one line.
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
		b.WriteString(": " + oneLine(e.Err.Error(), maxText))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of the Error in err's chain, 0 if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// answerKind classifies an answer that is not the success of its call. The code
// outranks the status: Propolis gives NoInstance with 424 and with 410. It
// counts only where the API has an error body, so that no VM is taken for dead
// because of a confused 200.
func answerKind(status int, code string) Kind {
	if status < 400 || status > 599 {
		return Malformed
	}
	switch strings.ToLower(strings.TrimSpace(code)) {
	case "noinstance", "createfailed":
		return NoInstance
	case "alreadyinitialized", "alreadyrunning":
		return AlreadyInitialized
	}
	switch {
	case status == http.StatusServiceUnavailable:
		return Unavailable
	case status >= 500:
		return Broken
	}
	return Refused
}

// transportKind classifies an error met while sending a request or reading its
// answer. ctx is the call's own context; begun tells whether a byte of an
// answer was seen, which net/http does not put into its errors.
func transportKind(ctx context.Context, err error, begun bool) Kind {
	switch ctxErr := ctx.Err(); {
	case errors.Is(ctxErr, context.Canceled):
		return Canceled
	case ctxErr != nil:
		return Timeout
	}
	switch {
	case unreachable(err):
		return Unreachable
	case timedOut(err):
		return Timeout
	case begun && !disconnected(err):
		return Malformed
	}
	return Interrupted
}

func unreachable(err error) bool {
	for _, no := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		syscall.EHOSTDOWN, syscall.ENETDOWN} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// disconnected tells whether err is the connection's and not the answer's.
func disconnected(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	_, op := errors.AsType[*net.OpError](err)
	_, no := errors.AsType[syscall.Errno](err)
	return op || no
}

// maxText is how much of a server's words goes into an error, in bytes: room
// for Propolis's longest messages, and no more in a log than a paragraph.
const maxText = 512

// oneLine makes text that came from elsewhere fit for a log line: valid UTF-8,
// no line breaks or other control characters, at most max bytes.
func oneLine(text string, max int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text[:min(len(text), max)], ""))
	return strings.TrimSpace(text)
}
