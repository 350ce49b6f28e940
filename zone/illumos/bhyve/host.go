package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/flight"
)

var (
	// ErrNone means that the host is configured to have no hypervisor.
	ErrNone = errors.New("no hypervisor is configured for this host")
	// ErrUnsupported means that the system has no vmm driver.
	ErrUnsupported = errors.New("not supported on this system: only illumos has the vmm driver")
	// ErrResizing means that another Resize is in progress.
	ErrResizing = errors.New("a resize of the reservoir is in progress")
)

// A Host is the hypervisor of this host. Its methods are safe for concurrent use. A
// call that is stuck delays only calls for the same VM.
type Host struct {
	ctl, vmmDir string
	helpers     *command.Set
	// ask makes one request in a helper process.
	ask      func(context.Context, request) (answer, error)
	vms      flight.Group[[]string]
	resizing atomic.Bool
}

// New returns the host whose control device is ctl (/dev/vmmctl) and whose VMs are
// the entries of vmmDir (/dev/vmm). If ctl is empty, the host has no VMs. self is
// the program of the helper processes, whose main must call Main first; if empty, it
// is this program.
func New(ctl, vmmDir, self string) *Host {
	if self == "" {
		self, _ = os.Executable() // if this fails, so does each request
	}
	h := &Host{ctl: ctl, vmmDir: vmmDir, helpers: newHelpers(self)}
	h.ask = h.helper
	h.vms.Do = h.list
	return h
}

// Exists reports whether the kernel has a VM of this name in any state: running, not
// run by any process, or being destroyed.
func (h *Host) Exists(ctx context.Context, name string) (bool, error) {
	if err := ValidName(name); err != nil {
		return false, fmt.Errorf("look for VM: %w", err)
	}
	if h.ctl == "" {
		return false, nil
	}
	names, err := h.vms.Get(ctx)
	if err != nil {
		return false, fmt.Errorf("look for VM %s: %w", name, err)
	}
	return slices.Contains(names, name), nil
}

// A Reservoir is the memory that the host reserves for VMs, in bytes.
type Reservoir struct {
	// Free and Allocated add up to its size.
	Free, Allocated uint64
	// Transient is VM memory from outside the reservoir.
	Transient uint64
	// Limit is the largest size that the kernel allows.
	Limit uint64
}

// Size returns the reservoir's size in bytes.
func (r Reservoir) Size() uint64 { return r.Free + r.Allocated }

// Reservoir queries the reservoir. On a host without VMs Allocated must be 0.
func (h *Host) Reservoir(ctx context.Context) (Reservoir, error) {
	v, err := h.control(ctx, opReservoir, 4)
	if err != nil {
		return Reservoir{}, fmt.Errorf("query reservoir: %w", err)
	}
	return Reservoir{Free: v[0], Allocated: v[1], Transient: v[2], Limit: v[3]}, nil
}

// Interface returns the version of the vmm driver's interface, and whether it is the
// version that this package was written for.
func (h *Host) Interface(ctx context.Context) (version int, known bool, err error) {
	v, err := h.control(ctx, opVersion, 1)
	if err != nil {
		return 0, false, fmt.Errorf("query vmm interface version: %w", err)
	}
	return int(v[0]), v[0] == interfaceVersion, nil
}

// control makes a request to the control device and checks that the answer has want
// numbers.
func (h *Host) control(ctx context.Context, op operation, want int, args ...string) ([]uint64, error) {
	if h.ctl == "" {
		return nil, ErrNone
	}
	a, err := h.ask(ctx, request{op: op, path: h.ctl, args: args})
	if err == nil && len(a.Values) != want {
		err = fmt.Errorf("helper process answered with %d numbers, want %d", len(a.Values), want)
	}
	return a.Values, err
}

func (h *Host) device(name string) string { return filepath.Join(h.vmmDir, name) }
