package bhyve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// An answer is the output of a helper process, as JSON on one line.
type answer struct {
	// Values are the numbers that the kernel returned.
	Values []uint64 `json:"values,omitempty"`
	// Names are the names of VMs, never null in the answer to a list.
	Names []string `json:"names"`
	// Error is the text of an error, and Errno its errno, if any.
	Error string        `json:"error,omitempty"`
	Errno syscall.Errno `json:"errno,omitempty"`
	// Unsupported reports whether this system lacks the vmm driver.
	Unsupported bool `json:"unsupported,omitempty"`
}

func answerError(err error) answer {
	a := answer{Error: err.Error(), Unsupported: errors.Is(err, ErrUnsupported)}
	errors.As(err, &a.Errno)
	return a
}

func (a answer) write(to io.Writer) {
	_ = json.NewEncoder(to).Encode(a) // the reader fails on an incomplete answer
}

// readAnswer parses the output of a helper process, and returns its error if it has
// one.
func readAnswer(out []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		return answer{}, fmt.Errorf("read answer of helper process: %w: %.200q", err, out)
	}
	switch {
	case a.Unsupported:
		return answer{}, ErrUnsupported
	case a.Errno != 0:
		return answer{}, &kernelError{a.Error, a.Errno}
	case a.Error != "":
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}

// A kernelError is an errno that the kernel returned to a helper process. The text
// names the call and the errno.
type kernelError struct {
	text  string
	errno syscall.Errno
}

func (e *kernelError) Error() string { return e.text }
func (e *kernelError) Unwrap() error { return e.errno }
