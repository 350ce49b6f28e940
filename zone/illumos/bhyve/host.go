package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

var (
	// ErrNone: the host was configured to be without a hypervisor.
	ErrNone = errors.New("this host has no hypervisor configured")
	// ErrUnsupported: only illumos has the vmm driver.
	ErrUnsupported = errors.New("not on this system: only illumos has the vmm driver")
	// ErrStuck: a helper process for the same purpose was killed and has not
	// ended. It is the kernel that keeps it.
	ErrStuck = errors.New("an earlier helper process is stuck in the kernel")
	// ErrResizing: another Resize is under way.
	ErrResizing = errors.New("the reservoir is being resized already")
)

// A Host is the hypervisor of this host. Its methods are safe for concurrent
// use, and one that is stuck delays no other but for the same VM.
type Host struct {
	ctl, vmmDir string
	helpers     *helpers
	// ask makes one request in a helper process.
	ask      func(context.Context, request) ([]uint64, error)
	resizing atomic.Bool
}

// New returns the host whose control device is ctl (/dev/vmmctl) and whose VMs
// are the entries of vmmDir (/dev/vmm). With an empty ctl it is a host that has
// no VMs. self is the program to run as helper process, which must call Main
// first thing in main; empty for this program.
func New(ctl, vmmDir, self string) *Host {
	h := &Host{ctl: ctl, vmmDir: vmmDir, helpers: newHelpers(self)}
	h.ask = h.helpers.run
	return h
}

// VMs returns the names of all VMs of all zones, sorted: those that run, those
// that nobody runs any more and those that are being destroyed. It reads a
// directory that the driver keeps, which is cheap and cannot be interrupted.
func (h *Host) VMs(ctx context.Context) ([]string, error) {
	if h.ctl == "" {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list VMs: %w", err)
	}
	dir, err := os.Open(h.vmmDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the driver makes it with the first VM
	}
	if err != nil {
		return nil, fmt.Errorf("list VMs: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list VMs: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// Exists tells whether the kernel has a VM of this name, in whatever state.
func (h *Host) Exists(ctx context.Context, name string) (bool, error) {
	if err := ValidName(name); err != nil {
		return false, fmt.Errorf("look for VM: %w", err)
	}
	names, err := h.VMs(ctx)
	if err != nil {
		return false, err
	}
	_, found := slices.BinarySearch(names, name)
	return found, nil
}

// A Reservoir is the memory that the host keeps for VMs. All are bytes.
type Reservoir struct {
	// Free and Allocated together are its size.
	Free, Allocated uint64
	// Transient is memory that VMs have from elsewhere.
	Transient uint64
	// Limit is the size that the kernel would allow.
	Limit uint64
}

// Size returns the reservoir's size in bytes.
func (r Reservoir) Size() uint64 { return r.Free + r.Allocated }

// Reservoir looks at the reservoir. On a host without VMs Allocated must be 0.
func (h *Host) Reservoir(ctx context.Context) (Reservoir, error) {
	v, err := h.control(ctx, opReservoir, 4)
	if err != nil {
		return Reservoir{}, fmt.Errorf("query reservoir: %w", err)
	}
	return Reservoir{Free: v[0], Allocated: v[1], Transient: v[2], Limit: v[3]}, nil
}

// Interface returns the version of the vmm driver's interface, and whether it
// is the one that this package was written from.
func (h *Host) Interface(ctx context.Context) (version int, known bool, err error) {
	v, err := h.control(ctx, opVersion, 1)
	if err != nil {
		return 0, false, fmt.Errorf("query vmm interface version: %w", err)
	}
	return int(v[0]), v[0] == interfaceVersion, nil
}

// Abandoned returns how many helper processes were killed and have not ended.
func (h *Host) Abandoned() int { return h.helpers.stuck() }

// control makes a request of the control device that is answered by want numbers.
func (h *Host) control(ctx context.Context, op operation, want int, args ...string) ([]uint64, error) {
	if h.ctl == "" {
		return nil, ErrNone
	}
	values, err := h.ask(ctx, request{op: op, path: h.ctl, args: args})
	if err == nil && len(values) != want {
		err = fmt.Errorf("helper process answered with %d numbers, want %d", len(values), want)
	}
	return values, err
}

func (h *Host) device(name string) string { return filepath.Join(h.vmmDir, name) }
