package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeHost is a Host whose helper processes are a function.
func fakeHost(t *testing.T, ask func(context.Context, request) ([]uint64, error), vms ...string) *Host {
	t.Helper()
	dir := t.TempDir()
	for _, name := range vms {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := New("/dev/vmmctl", dir, "")
	h.ask = ask
	return h
}

func (h *Host) vanish(name string) { _ = os.Remove(h.device(name)) }

func TestVMs(t *testing.T) {
	t.Parallel()
	h := fakeHost(t, nil, "b", "a")
	if vms, err := h.VMs(t.Context()); err != nil || !slices.Equal(vms, []string{"a", "b"}) {
		t.Errorf("VMs are %q, %v", vms, err)
	}
	for name, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got, err := h.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("%s exists: %v, %v", name, got, err)
		}
	}
	if _, err := h.Exists(t.Context(), ".."); !errors.Is(err, ErrName) {
		t.Errorf("look for ..: %v", err)
	}
	if vms, err := New("/dev/vmmctl", "/nonexistent", "").VMs(t.Context()); err != nil || len(vms) != 0 {
		t.Errorf("a driver that has made no directory yet: %q, %v", vms, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New("/dev/vmmctl", file, "").VMs(t.Context()); err == nil {
		t.Error("a file serves as directory of VMs")
	}
}

func TestHostWithoutHypervisor(t *testing.T) {
	t.Parallel()
	h := New("", "/dev/vmm", "")
	if vms, err := h.VMs(t.Context()); err != nil || len(vms) != 0 {
		t.Errorf("VMs are %q, %v", vms, err)
	}
	if err := h.DestroyVM(t.Context(), "a"); err != nil {
		t.Errorf("destroy: %v", err)
	}
	if _, err := h.Reservoir(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("reservoir: %v", err)
	}
	if err := <-h.Resize(t.Context(), gib, nil); !errors.Is(err, ErrNone) {
		t.Errorf("resize: %v", err)
	}
}

func TestReservoir(t *testing.T) {
	t.Parallel()
	h := fakeHost(t, func(context.Context, request) ([]uint64, error) { return []uint64{5, 6, 7, 8}, nil })
	r, err := h.Reservoir(t.Context())
	if err != nil || r != (Reservoir{Free: 5, Allocated: 6, Transient: 7, Limit: 8}) || r.Size() != 11 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := h.Interface(t.Context()); err == nil {
		t.Error("four numbers are a version")
	}
}

func TestDestroyVM(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, v := range []struct {
		name       string
		self, ctl  error // what the VM's device and the control device answer
		goes       operation
		asked      []operation
		want, also error
	}{
		{name: "at once", goes: opDestroySelf, asked: []operation{opDestroySelf}},
		{name: "gone meanwhile", self: syscall.ENOENT, goes: opDestroySelf, asked: []operation{opDestroySelf}},
		{name: "begun before", self: syscall.ENXIO, goes: opDestroySelf, asked: []operation{opDestroySelf}},
		{name: "device busy", self: syscall.EBUSY, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "gone in between", self: syscall.EBUSY, ctl: syscall.ENOENT, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "both refuse", self: syscall.EBUSY, ctl: syscall.EPERM, asked: []operation{opDestroySelf, opDestroyVM},
			want: syscall.EBUSY, also: syscall.EPERM},
		{name: "device broken", self: broken, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "helper stuck", self: ErrStuck, asked: []operation{opDestroySelf}, want: ErrStuck},
		{name: "no driver", self: ErrUnsupported, asked: []operation{opDestroySelf}, want: ErrUnsupported},
		{name: "held", asked: []operation{opDestroySelf}, want: context.DeadlineExceeded},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked []operation
				var h *Host
				h = fakeHost(t, func(_ context.Context, r request) ([]uint64, error) {
					asked = append(asked, r.op)
					if r.op == v.goes {
						time.AfterFunc(3*time.Second, func() { h.vanish("vm") })
					}
					if r.vm != "vm" || r.op == opDestroyVM && !slices.Equal(r.args, []string{"vm"}) {
						t.Errorf("asked for %+v", r)
					}
					if r.op == opDestroySelf {
						return nil, v.self
					}
					return nil, v.ctl
				}, "vm", "other")
				err := h.DestroyVM(budget(t, time.Minute), "vm")
				if !errors.Is(err, v.want) || !errors.Is(err, v.also) && v.also != nil {
					t.Errorf("destroyed: %v, want %v %v", err, v.want, v.also)
				}
				if !slices.Equal(asked, v.asked) {
					t.Errorf("asked for %v, want %v", asked, v.asked)
				}
				if there, err := h.Exists(t.Context(), "vm"); err != nil || there != (v.want != nil) {
					t.Errorf("it exists: %v, %v", there, err)
				}
			})
		})
	}
}

func TestDestroyVMThatIsNotThere(t *testing.T) {
	t.Parallel()
	h := fakeHost(t, func(_ context.Context, r request) ([]uint64, error) { return nil, fmt.Errorf("asked for %v", r) })
	if err := h.DestroyVM(t.Context(), "vm"); err != nil {
		t.Error(err)
	}
}

// With real helper processes: the VM is marked by one and gone a moment later.
func TestDestroyVMByHelper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := New("/dev/vmmctl", dir, script(t, `test "$1" = destroy-self && (/bin/sleep 0.05; /bin/rm "$2") </dev/null >/dev/null 2>&1 & echo ok`))
	if err := h.DestroyVM(t.Context(), "vm"); err != nil {
		t.Error(err)
	}
}
