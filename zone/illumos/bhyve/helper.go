package bhyve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// arg0 is a helper process's argv[0], by which Main knows one.
const arg0 = "sled-bhyve-helper"

// mainCalled keeps a program that never calls Main from starting itself as a
// helper, which it would then not be.
var mainCalled atomic.Bool

// Main must be the first call in main, and in TestMain of tests that use a Host
// of this program. If this process was started as a helper, it is one from here
// on and Main never returns; else Main does nothing.
//
// Whoever looks into a host by hand may start a helper from a shell, as in
// (exec -a sled-bhyve-helper sled-agent reservoir /dev/vmmctl).
func Main() {
	mainCalled.Store(true)
	if len(os.Args) > 0 && os.Args[0] == arg0 {
		os.Exit(serve(os.Args[1:], call, os.Stdout))
	}
}

// An operation is what a helper process can be asked to do.
type operation string

const (
	opVersion     operation = "version"      // CTL
	opReservoir   operation = "reservoir"    // CTL
	opResize      operation = "resize"       // CTL TARGET CHUNK
	opDestroyVM   operation = "destroy-vm"   // CTL NAME
	opDestroySelf operation = "destroy-self" // DEVICE
)

// operands is how many words follow an operation.
var operands = map[operation]int{opVersion: 1, opReservoir: 1, opResize: 3, opDestroyVM: 2, opDestroySelf: 1}

// A device is what a request is made of.
type device struct {
	path string
	// control tells the control device from a VM's.
	control bool
}

// A caller makes one ioctl: call, or a test's.
type caller func(d device, request int, arg unsafe.Pointer) (int, error)

// serve does what the words ask, writes the answer and returns the exit status.
func serve(words []string, call caller, out io.Writer) int {
	if len(words) == 0 || operands[operation(words[0])] != len(words)-1 {
		fmt.Fprintln(out, answerError(fmt.Errorf("not a request: %q", words)))
		return 2
	}
	values, err := perform(operation(words[0]), words[1:], call)
	if err != nil {
		fmt.Fprintln(out, answerError(err))
		return 1
	}
	fmt.Fprintln(out, answerValues(values))
	return 0
}

func perform(op operation, words []string, call caller) ([]uint64, error) {
	ctl := device{path: words[0], control: true}
	switch op {
	case opVersion:
		version, err := call(ctl, vmmInterfaceVersion, nil)
		return []uint64{uint64(version)}, err
	case opReservoir:
		q := new(reservoirQuery)
		_, err := call(ctl, vmmReservoirQuery, unsafe.Pointer(q))
		return []uint64{q.free, q.allocated, q.transient, q.limit}, err
	case opResize:
		return performResize(ctl, words[1], words[2], call)
	case opDestroyVM:
		req, err := encodeDestroy(words[1])
		if err != nil {
			return nil, err
		}
		return nil, uninterrupted(func() error {
			_, err := call(ctl, vmmDestroyVM, unsafe.Pointer(req))
			return err
		})
	default: // opDestroySelf: serve lets nothing else through
		return nil, uninterrupted(func() error {
			_, err := call(device{path: words[0]}, vmDestroySelf, nil)
			return err
		})
	}
}

func performResize(ctl device, target, chunk string, call caller) ([]uint64, error) {
	req := new(reservoirTarget)
	var err error
	if req.target, err = strconv.ParseUint(target, 10, 64); err != nil {
		return nil, fmt.Errorf("read target: %w", err)
	}
	if req.chunk, err = strconv.ParseUint(chunk, 10, 64); err != nil {
		return nil, fmt.Errorf("read chunk: %w", err)
	}
	_, err = call(ctl, vmmReservoirTarget, unsafe.Pointer(req))
	if errors.Is(err, syscall.EINTR) && req.result != 0 {
		err = nil // the result says how far it got
	}
	return []uint64{req.result}, err
}

// uninterrupted repeats a call that a signal has ended. A destruction goes on
// meanwhile, so each repeat comes closer, and the agent's budget ends them all.
func uninterrupted(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
