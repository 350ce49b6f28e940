package bhyve

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// A helper process answers with one line:
//
//	ok 1 2 3          done, with these numbers
//	errno 2 TEXT      the kernel refused with this errno
//	unsupported       this system has no vmm driver
//	error TEXT        anything else
const (
	wordOK          = "ok"
	wordErrno       = "errno"
	wordUnsupported = "unsupported"
	wordError       = "error"
)

// maxAnswer is more than any answer has.
const maxAnswer = 4096

// A KernelError is an errno that the kernel answered to a helper process.
// errors.Is finds the syscall.Errno in it.
type KernelError struct {
	Errno syscall.Errno
	// Text says what was tried, and names the errno.
	Text string
}

func (e *KernelError) Error() string { return e.Text }

// Unwrap returns the errno.
func (e *KernelError) Unwrap() error { return e.Errno }

func answerValues(values []uint64) string {
	line := []string{wordOK}
	for _, v := range values {
		line = append(line, strconv.FormatUint(v, 10))
	}
	return strings.Join(line, " ")
}

func answerError(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	var errno syscall.Errno
	switch {
	case errors.Is(err, ErrUnsupported):
		return wordUnsupported
	case errors.As(err, &errno):
		return fmt.Sprintf("%s %d %s", wordErrno, int(errno), text)
	}
	return wordError + " " + text
}

// readAnswer reads what a helper process has printed.
func readAnswer(out string) ([]uint64, error) {
	line, complete := strings.CutSuffix(out, "\n")
	if !complete || strings.Contains(line, "\n") {
		return nil, fmt.Errorf("read answer of helper process: %q is not one line", out)
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case wordOK:
		return readValues(rest)
	case wordUnsupported:
		return nil, ErrUnsupported
	case wordError:
		return nil, errors.New(rest)
	case wordErrno:
		number, text, _ := strings.Cut(rest, " ")
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 {
			return nil, &KernelError{Errno: syscall.Errno(n), Text: text}
		}
	}
	return nil, fmt.Errorf("read answer of helper process: %q", line)
}

func readValues(text string) ([]uint64, error) {
	var values []uint64
	for _, field := range strings.Fields(text) {
		v, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read answer of helper process: %w", err)
		}
		values = append(values, v)
	}
	return values, nil
}
