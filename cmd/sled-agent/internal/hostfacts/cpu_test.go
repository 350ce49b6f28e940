package hostfacts

import "testing"

func TestFamily(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		cpu
		want string
	}{
		{cpu{"AuthenticAMD", 0x19, 0x01}, "amd_milan"},
		{cpu{"AuthenticAMD", 0x19, 0x11}, "amd_milan"},
		{cpu{"AuthenticAMD", 0x19, 0x61}, "amd_milan"},
		{cpu{"AuthenticAMD", 0x19, 0x50}, ""},
		{cpu{"AuthenticAMD", 0x1a, 0x02}, "amd_turin"},
		{cpu{"AuthenticAMD", 0x1a, 0x11}, "amd_turin_dense"},
		{cpu{"AuthenticAMD", 0x1a, 0x44}, "amd_turin"},
		{cpu{"AuthenticAMD", 0x17, 0x31}, ""},
		{cpu{"GenuineIntel", 0x19, 0x01}, ""},
		{cpu{}, ""},
	} {
		if got := v.family(); got != v.want {
			t.Errorf("%+v is %q, want %q", v.cpu, got, v.want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	t.Parallel()
	want := cpu{"AuthenticAMD", 25, 1}
	linux := "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7713P\n" +
		"\nprocessor\t: 1\nmodel\t\t: 9\n"
	if got := parseLinux([]byte(linux)); got != want {
		t.Errorf("Linux: %+v", got)
	}
	illumos := "cpu_info:0:cpu_info0:brand\tAMD EPYC 7713P 64-Core Processor\ncpu_info:0:cpu_info0:family\t25\n" +
		"cpu_info:0:cpu_info0:model\t1\ncpu_info:0:cpu_info0:vendor_id\tAuthenticAMD\n"
	if got := parseIllumos([]byte(illumos)); got != want {
		t.Errorf("illumos: %+v", got)
	}
	for _, other := range []string{"", "\n", "vendor_id", "cpu family: x\nmodel: 99999999999999999999\n"} {
		if got := parseLinux([]byte(other)); got.family() != "" {
			t.Errorf("%q is %+v", other, got)
		}
	}
}

func TestThisHost(t *testing.T) {
	t.Parallel()
	if size, err := Memory(); err == nil && size < 1<<20 {
		t.Errorf("this host has %d bytes of memory", size)
	}
}
