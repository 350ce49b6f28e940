package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/internal/command"
)

// fakeHost returns a Host whose helper process is a function.
func fakeHost(t *testing.T, ask func(context.Context, request) (answer, error), vms ...string) *Host {
	t.Helper()
	dir := t.TempDir()
	for _, name := range vms {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := New("/dev/vmmctl", dir, "")
	h.ask = ask
	h.vms.Do = func() ([]string, error) { return list(dir) }
	return h
}

func (h *Host) vanish(name string) { _ = os.Remove(h.device(name)) }

// A helper process reads the driver's directory.
func TestExists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b c", `"d`} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := New("/dev/vmmctl", dir, "")
	for name, want := range map[string]bool{"a": true, "b c": true, `"d`: true, "b": false, "e": false} {
		if got, err := h.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("%s exists: %v, %v", name, got, err)
		}
	}
	if _, err := h.Exists(t.Context(), ".."); !errors.Is(err, ErrName) {
		t.Errorf("look for ..: %v", err)
	}
	if is, err := New("/dev/vmmctl", "/nonexistent", "").Exists(t.Context(), "a"); err != nil || is {
		t.Errorf("before the driver has created its directory: %v, %v", is, err)
	}
	if _, err := New("/dev/vmmctl", filepath.Join(dir, "a"), "").Exists(t.Context(), "a"); err == nil {
		t.Error("a file was accepted as the directory of VMs")
	}
	for _, answer := range []string{"", "{}", `{"values":[1]}`, `{"names":"a"}`, `{"names":["a"`, `{"names":["a"],"errno":5}`, `{"names":["a"],"error":"broken"}`} {
		h := New("/dev/vmmctl", dir, script(t, "echo '"+answer+"'"))
		if is, err := h.Exists(t.Context(), "a"); err == nil {
			t.Errorf("answer %q: exists %v", answer, is)
		}
	}
}

// While a list does not return, Exists fails in time and starts no further process.
func TestListIsStuck(t *testing.T) {
	t.Parallel()
	h := New("/dev/vmmctl", t.TempDir(), script(t, `test "$1" = list || exec echo '{"values":[18]}'; exec sleep 600`))
	killed := make(chan int, 100)
	h.helpers.Kill = func(pid int) error { killed <- pid; return nil }
	h.helpers.KillGrace = 10 * time.Millisecond
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if is, err := h.Exists(budget(t, 100*time.Millisecond), "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it exists: %v, %v", is, err)
			}
		})
	}
	group.Wait()
	pid := <-killed // after the list's own budget
	for h.helpers.Count() == 0 {
		time.Sleep(time.Millisecond) // sleep: a pause between polls
	}
	if is, err := h.Exists(budget(t, time.Minute), "a"); !stuck(err) {
		t.Errorf("it exists: %v, %v", is, err)
	}
	if v, _, err := h.Interface(budget(t, time.Minute)); err != nil || v != 18 {
		t.Errorf("another question: %v, %v", v, err)
	}
	if n := h.helpers.Count(); n != 1 || len(killed) > 0 {
		t.Errorf("%d helper processes are stuck", n)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for h.helpers.Count() > 0 {
		time.Sleep(time.Millisecond) // sleep: a pause between polls
	}
}

func TestHostWithoutHypervisor(t *testing.T) {
	t.Parallel()
	h := New("", "/dev/vmm", "")
	if is, err := h.Exists(t.Context(), "a"); err != nil || is {
		t.Errorf("a exists: %v, %v", is, err)
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
	h := fakeHost(t, func(context.Context, request) (answer, error) { return answer{Values: []uint64{5, 6, 7, 8}}, nil })
	r, err := h.Reservoir(t.Context())
	if err != nil || r != (Reservoir{Free: 5, Allocated: 6, Transient: 7, Limit: 8}) || r.Size() != 11 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := h.Interface(t.Context()); err == nil {
		t.Error("four numbers were accepted as a version")
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
		{name: "destroyed meanwhile", self: syscall.ENOENT, goes: opDestroySelf, asked: []operation{opDestroySelf}},
		{name: "begun before", self: syscall.ENXIO, goes: opDestroySelf, asked: []operation{opDestroySelf}},
		{name: "device busy", self: syscall.EBUSY, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "destroyed in between", self: syscall.EBUSY, ctl: syscall.ENOENT, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "both refuse", self: syscall.EBUSY, ctl: syscall.EPERM, asked: []operation{opDestroySelf, opDestroyVM},
			want: syscall.EBUSY, also: syscall.EPERM},
		{name: "device broken", self: broken, goes: opDestroyVM, asked: []operation{opDestroySelf, opDestroyVM}},
		{name: "helper stuck", self: command.ErrLeft, asked: []operation{opDestroySelf}, want: command.ErrLeft},
		{name: "no driver", self: ErrUnsupported, asked: []operation{opDestroySelf}, want: ErrUnsupported},
		{name: "held", asked: []operation{opDestroySelf}, want: context.DeadlineExceeded},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked []operation
				var h *Host
				h = fakeHost(t, func(_ context.Context, r request) (answer, error) {
					asked = append(asked, r.op)
					if r.op == v.goes {
						time.AfterFunc(3*time.Second, func() { h.vanish("vm") })
					}
					if r.vm != "vm" || r.op == opDestroyVM && !slices.Equal(r.args, []string{"vm"}) {
						t.Errorf("asked for %+v", r)
					}
					if r.op == opDestroySelf {
						return answer{}, v.self
					}
					return answer{}, v.ctl
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
	h := fakeHost(t, func(_ context.Context, r request) (answer, error) { return answer{}, fmt.Errorf("asked for %v", r) })
	if err := h.DestroyVM(t.Context(), "vm"); err != nil {
		t.Error(err)
	}
}

// With real helper processes: one marks the VM, which disappears a moment later.
func TestDestroyVMByHelper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := New("/dev/vmmctl", dir, script(t, `test "$1" != list || { test -e "$2/vm" && echo '{"names":["vm"]}' || echo '{"names":[]}'; exit; }
		test "$1" = destroy-self && (/bin/sleep 0.05; /bin/rm "$2") </dev/null >/dev/null 2>&1 & echo '{}'`))
	if err := h.DestroyVM(t.Context(), "vm"); err != nil {
		t.Error(err)
	}
}
