package bhyve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/command"
)

// maxHelpers limits the number of helper processes, including those left behind.
// It is enough to free every VM of a sled at once without delay, since each takes
// milliseconds, and small enough that stuck ones do no harm.
const maxHelpers = 16

// budgets bound a helper process whose context has no earlier deadline.
var budgets = map[operation]time.Duration{
	opVersion:     5 * time.Second,
	opReservoir:   5 * time.Second,
	opDestroySelf: 10 * time.Second,
	opList:        5 * time.Second,
	opDestroyVM:   30 * time.Second,
	// Growing waits for free pages: a host that is short of memory takes minutes to
	// free a gigabyte.
	opResize: 10 * time.Minute,
}

// A request is an operation for a helper process.
type request struct {
	op   operation
	path string
	// vm is the VM that it concerns, if any.
	vm   string
	args []string
}

// purpose identifies requests of which only one may be stuck: while one is, no
// helper process is started for another.
func (r request) purpose() string {
	if r.vm != "" {
		return "VM " + r.vm
	}
	return string(r.op)
}

// newHelpers returns a command set with the program of the helper processes.
func newHelpers(self string) *command.Set {
	s := command.New(map[string]string{arg0: self}, zerolog.Nop())
	s.Arg0 = arg0
	// The runtime's preemption signals would interrupt the ioctl repeatedly.
	s.Env = []string{"GODEBUG=asyncpreemptoff=1"}
	s.Places = make(chan struct{}, maxHelpers)
	return s
}

// helper runs a request in a helper process.
func (h *Host) helper(ctx context.Context, r request) (answer, error) {
	if !mainCalled.Load() {
		return answer{}, errors.New("start helper process: bhyve.Main was not called first in main")
	}
	argv := append([]string{arg0, string(r.op), r.path}, r.args...)
	out, err := h.helpers.Output(ctx, command.Call{Argv: argv, For: r.purpose(), Budget: budgets[r.op], Single: true})
	if err != nil {
		return answer{}, err
	}
	a, err := readAnswer(out)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", r.op, r.path, err)
	}
	return a, nil
}

// stuck reports whether err means that a helper process, this one or an earlier one
// for the same purpose, was killed but is held in the kernel.
func stuck(err error) bool {
	return errors.Is(err, command.ErrLeft) || errors.Is(err, command.ErrTooMany)
}

// list returns the names of the VMs of all zones. A helper process reads the
// driver's directory, since that waits uninterruptibly while the memory of a large
// VM is freed. Lstat does not wait.
func (h *Host) list() ([]string, error) {
	if _, err := os.Lstat(h.vmmDir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the driver creates it with the first VM
	}
	a, err := h.ask(context.Background(), request{op: opList, path: h.vmmDir})
	if err == nil && a.Names == nil {
		err = errors.New("list VMs: the helper process returned no names")
	}
	return a.Names, err
}

// list is the operation opList of the helper process.
func list(path string) ([]string, error) {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return append([]string{}, names...), err
}
