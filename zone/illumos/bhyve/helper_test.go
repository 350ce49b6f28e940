package bhyve

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"unsafe"
)

// A fakeKernel answers ioctls as the driver would.
type fakeKernel struct {
	t *testing.T
	// interrupts is how many calls a signal ends.
	interrupts int
	errno      syscall.Errno
	reached    uint64
	seen       []string
}

func (k *fakeKernel) call(d device, request int, arg unsafe.Pointer) (int, error) {
	what := fmt.Sprintf("%#x %s control=%v", request, d.path, d.control)
	switch request {
	case vmmDestroyVM:
		name := (*destroyReq)(arg).name[:]
		what += " " + string(name[:bytes.IndexByte(name, 0)])
	case vmmReservoirTarget:
		r := (*reservoirTarget)(arg)
		what += fmt.Sprint(" ", r.target, " ", r.chunk)
		r.result = k.reached
	case vmmReservoirQuery:
		*(*reservoirQuery)(arg) = reservoirQuery{free: 1, allocated: 2, transient: 3, limit: 4}
	default:
		if arg != nil {
			k.t.Errorf("%s has an argument", what)
		}
	}
	k.seen = append(k.seen, what)
	if k.interrupts > 0 {
		k.interrupts--
		return 0, fmt.Errorf("ioctl: %w", syscall.EINTR)
	}
	if k.errno != 0 {
		return 0, fmt.Errorf("ioctl: %w", k.errno)
	}
	return 18, nil
}

func TestServe(t *testing.T) {
	t.Parallel()
	const destroyed = "0x564d02 /ctl control=true vm-1"
	for _, v := range []struct {
		words  []string
		kernel fakeKernel
		want   string
		seen   []string
	}{
		{words: []string{"version", "/ctl"}, want: "ok 18\n", seen: []string{"0x564d04 /ctl control=true"}},
		{words: []string{"reservoir", "/ctl"}, want: "ok 1 2 3 4\n", seen: []string{"0x564d10 /ctl control=true"}},
		{words: []string{"resize", "/ctl", "2097152", "1024"}, kernel: fakeKernel{reached: 7}, want: "ok 7\n",
			seen: []string{"0x564d11 /ctl control=true 2097152 1024"}},
		{words: []string{"resize", "/ctl", "9", "1"}, kernel: fakeKernel{reached: 7, interrupts: 1}, want: "ok 7\n",
			seen: []string{"0x564d11 /ctl control=true 9 1"}},
		{words: []string{"resize", "/ctl", "9", "1"}, kernel: fakeKernel{errno: syscall.ENOSPC},
			want: fmt.Sprintf("errno %d ioctl: %v\n", syscall.ENOSPC, syscall.ENOSPC), seen: []string{"0x564d11 /ctl control=true 9 1"}},
		{words: []string{"destroy-self", "/vmm/vm-1"}, kernel: fakeKernel{interrupts: 1}, want: "ok\n",
			seen: []string{"0x766d25 /vmm/vm-1 control=false", "0x766d25 /vmm/vm-1 control=false"}},
		{words: []string{"destroy-vm", "/ctl", "vm-1"}, kernel: fakeKernel{interrupts: 2}, want: "ok\n",
			seen: []string{destroyed, destroyed, destroyed}},
		{words: []string{"destroy-vm", "/ctl", "vm-1"}, kernel: fakeKernel{errno: syscall.ENOENT},
			want: fmt.Sprintf("errno %d ioctl: %v\n", syscall.ENOENT, syscall.ENOENT), seen: []string{destroyed}},
		{words: []string{"destroy-vm", "/ctl", "a/b"}, want: "error not a VM's name: \"a/b\" has a '/' or a zero byte\n"},
		{words: []string{"resize", "/ctl", "x", "1"}, want: "error read target: strconv.ParseUint: parsing \"x\": invalid syntax\n"},
		{words: []string{"destroy-vm", "/ctl"}, want: "error not a request: [\"destroy-vm\" \"/ctl\"]\n"},
		{words: []string{"format", "/ctl"}, want: "error not a request: [\"format\" \"/ctl\"]\n"},
		{words: nil, want: "error not a request: []\n"},
	} {
		k := v.kernel
		k.t = t
		var out bytes.Buffer
		status := serve(v.words, k.call, &out)
		if out.String() != v.want || (status == 0) != (out.String()[:2] == "ok") {
			t.Errorf("%q: answered %q with status %d, want %q", v.words, out.String(), status, v.want)
		}
		if fmt.Sprint(k.seen) != fmt.Sprint(v.seen) {
			t.Errorf("%q: the kernel saw %q, want %q", v.words, k.seen, v.seen)
		}
	}
}
