package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
)

// The exit codes are a contract with scripts.
const (
	exitDone     = 0
	exitOther    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitTimedOut = 4
	// exitOtherEnd: the VMM ended in a state other than the awaited ones.
	exitOtherEnd = 5
	// exitTrouble: status --check has found something in trouble.
	exitTrouble = 6
	// exitInterrupted is that of a shell for a program that SIGINT has ended.
	exitInterrupted = 130
)

// exitCodes are the exit codes in the order of the help.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitOther, "anything else, such as no agent"},
	{exitUsage, "wrong usage"},
	{exitNotFound, "no such VMM, or no such zone"},
	{exitTimedOut, "timed out"},
	{exitOtherEnd, "the VMM, or one of several, ended in a different state than requested"},
	{exitTrouble, "something is in trouble, for status --check"},
	{exitInterrupted, "interrupted; what was accepted goes on"},
}

var exitCodesHelp = func() string {
	var text strings.Builder
	text.WriteString("Exit codes:")
	for _, e := range exitCodes {
		fmt.Fprintf(&text, "\n  %-4d %s", e.code, e.meaning)
	}
	return text.String()
}()

// exitError is an error with its own exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) *exitError {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var own *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &own):
		return own.code
	case noSuchThing(err), api.Gone(err):
		return exitNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimedOut
	}
	return exitOther
}

// explain returns the text of an error with a hint.
func explain(err error) string {
	noAgent := errors.As(err, new(*admin.NoAgentError))
	switch {
	case noAgent && errors.Is(err, syscall.EACCES):
		return err.Error() + ": run sledctl as that user"
	case noAgent:
		return err.Error() + ": is sled-agent running? try --socket"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return err.Error() + "; is --api right?"
	}
	return err.Error()
}
