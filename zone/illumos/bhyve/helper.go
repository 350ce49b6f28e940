package bhyve

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// arg0 is a helper process's argv[0], by which Main recognizes one.
const arg0 = "sled-bhyve-helper"

// mainCalled guards against a program that does not call Main: started as a helper,
// it would run its own main.
var mainCalled atomic.Bool

// Main must be the first call in main, and in TestMain of tests whose program is the
// helper of a Host. In a helper process Main does the helper's work and does not
// return; otherwise it does nothing.
//
// To query a host by hand, start a helper from a shell:
// (exec -a sled-bhyve-helper sled-agent reservoir /dev/vmmctl).
func Main() {
	mainCalled.Store(true)
	if len(os.Args) > 0 && os.Args[0] == arg0 {
		serve(os.Args[1:], call).write(os.Stdout)
		os.Exit(0)
	}
}

// An operation is a request to a helper process; its operands follow in argv.
type operation string

const (
	opVersion     operation = "version"      // CTL
	opReservoir   operation = "reservoir"    // CTL
	opResize      operation = "resize"       // CTL TARGET CHUNK
	opDestroyVM   operation = "destroy-vm"   // CTL NAME
	opDestroySelf operation = "destroy-self" // DEVICE
	opList        operation = "list"         // DIRECTORY
)

// operands is the number of operands of each operation.
var operands = map[operation]int{opVersion: 1, opReservoir: 1, opResize: 3, opDestroyVM: 2, opDestroySelf: 1, opList: 1}

// A device is the target of an ioctl.
type device struct {
	path string
	// control reports whether it is the control device and not a VM's.
	control bool
}

// A caller makes one ioctl: call, or a test's double.
type caller func(d device, request int, arg unsafe.Pointer) (int, error)

// serve performs the operation in words.
func serve(words []string, call caller) answer {
	if len(words) == 0 || operands[operation(words[0])] != len(words)-1 {
		return answerError(fmt.Errorf("not a request: %q", words))
	}
	var a answer
	var err error
	if op := operation(words[0]); op == opList {
		a.Names, err = list(words[1])
	} else {
		a.Values, err = perform(op, words[1:], call)
	}
	if err != nil {
		return answerError(err)
	}
	return a
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
	default: // opDestroySelf: serve rejects anything else
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
		err = nil // the result is the size that was reached
	}
	return []uint64{req.result}, err
}

// uninterrupted repeats a call while it fails with EINTR. The destruction continues
// between calls, and the agent's budget bounds the number of repeats.
func uninterrupted(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
