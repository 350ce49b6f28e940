package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
)

// The exit codes, which scripts may rely on.
const (
	exitDone     = 0
	exitOther    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitTimedOut = 4
	// exitOtherEnd: the VMM ended in another way than was waited for.
	exitOtherEnd = 5
)

const exitCodesHelp = `Exit codes: 0 done, 2 wrong usage, 3 no such VMM, 4 timed out,
5 the VMM ended in another way than was waited for, 1 anything else.`

// exitError is an error that has an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var own *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &own):
		return own.code
	case admin.IsUnknown(err), sledapi.Gone(err):
		return exitNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimedOut
	}
	return exitOther
}

// explain is an error for people, with what to try next.
func explain(err error) string {
	var nobody *admin.NoAgentError
	switch {
	case errors.As(err, &nobody):
		return err.Error() + ": is sled-agent running? try --socket"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return err.Error() + "; is --api right?"
	}
	return err.Error()
}
