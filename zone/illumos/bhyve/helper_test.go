package bhyve

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"unsafe"
)

// A fakeKernel answers ioctls as the driver does.
type fakeKernel struct {
	t *testing.T
	// interrupts is the number of calls that fail with EINTR.
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
		{words: []string{"version", "/ctl"}, want: `{"values":[18],"names":null}`, seen: []string{"0x564d04 /ctl control=true"}},
		{words: []string{"reservoir", "/ctl"}, want: `{"values":[1,2,3,4],"names":null}`, seen: []string{"0x564d10 /ctl control=true"}},
		{words: []string{"resize", "/ctl", "2097152", "1024"}, kernel: fakeKernel{reached: 7}, want: `{"values":[7],"names":null}`,
			seen: []string{"0x564d11 /ctl control=true 2097152 1024"}},
		{words: []string{"resize", "/ctl", "9", "1"}, kernel: fakeKernel{reached: 7, interrupts: 1}, want: `{"values":[7],"names":null}`,
			seen: []string{"0x564d11 /ctl control=true 9 1"}},
		{words: []string{"resize", "/ctl", "9", "1"}, kernel: fakeKernel{errno: syscall.ENOSPC},
			want: fmt.Sprintf(`{"names":null,"error":"ioctl: %v","errno":%d}`, syscall.ENOSPC, int(syscall.ENOSPC)), seen: []string{"0x564d11 /ctl control=true 9 1"}},
		{words: []string{"destroy-self", "/vmm/vm-1"}, kernel: fakeKernel{interrupts: 1}, want: `{"names":null}`,
			seen: []string{"0x766d25 /vmm/vm-1 control=false", "0x766d25 /vmm/vm-1 control=false"}},
		{words: []string{"destroy-vm", "/ctl", "vm-1"}, kernel: fakeKernel{interrupts: 2}, want: `{"names":null}`,
			seen: []string{destroyed, destroyed, destroyed}},
		{words: []string{"destroy-vm", "/ctl", "vm-1"}, kernel: fakeKernel{errno: syscall.ENOENT},
			want: fmt.Sprintf(`{"names":null,"error":"ioctl: %v","errno":%d}`, syscall.ENOENT, int(syscall.ENOENT)), seen: []string{destroyed}},
		{words: []string{"destroy-vm", "/ctl", "a/b"}, want: `{"names":null,"error":"invalid VM name: \"a/b\" has a '/' or a zero byte"}`},
		{words: []string{"resize", "/ctl", "x", "1"}, want: `{"names":null,"error":"read target: strconv.ParseUint: parsing \"x\": invalid syntax"}`},
		{words: []string{"destroy-vm", "/ctl"}, want: `{"names":null,"error":"not a request: [\"destroy-vm\" \"/ctl\"]"}`},
		{words: []string{"format", "/ctl"}, want: `{"names":null,"error":"not a request: [\"format\" \"/ctl\"]"}`},
		{words: nil, want: `{"names":null,"error":"not a request: []"}`},
	} {
		k := v.kernel
		k.t = t
		var out bytes.Buffer
		serve(v.words, k.call).write(&out)
		if out.String() != v.want+"\n" {
			t.Errorf("%q: answered %q, want %q", v.words, out.String(), v.want)
		}
		if fmt.Sprint(k.seen) != fmt.Sprint(v.seen) {
			t.Errorf("%q: the kernel saw %q, want %q", v.words, k.seen, v.seen)
		}
	}
}
