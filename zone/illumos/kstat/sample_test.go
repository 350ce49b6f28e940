package kstat

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture returns output in the form of kstat -p.
func fixture(t testing.TB) []byte {
	t.Helper()
	out, err := os.ReadFile("testdata/kstat.txt")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantFixture is the sample of the fixture.
var wantFixture = stats.Sample{
	Zones: []stats.Zone{
		{Name: "global", ID: 0, CPU: 2733 * time.Millisecond, Waited: new(5 * time.Nanosecond)},
		{Name: "oxz_propolis-server_5bb1ae42-3a0d-4d3e-8c51-0d3f0e1b7c11", ID: 7, CPU: 3750 * time.Millisecond, Waited: new(300 * time.Millisecond)},
		// Truncated to 30 characters, its name equals the one above.
		{Name: "oxz_propolis-server_5bb1ae42-9999-4d3e-8c51-0d3f0e1b7c11", ID: 12, CPU: 30, Waited: new(30 * time.Nanosecond)},
	},
	VMs: []stats.VM{
		{Name: "5bb1ae42-3a0d-4d3e-8c51-0d3f0e1b7c11", VCPUs: []stats.VCPU{vcpu(0, 10), vcpu(1, 11)}},
		{Name: "5bb1ae42-9999-4d3e-8c51-0d3f0e1b7c11", VCPUs: []stats.VCPU{vcpu(0, 20)}},
	},
	Links: []stats.Link{
		{Name: "oxControlInstance0", Received: 1200345, Sent: 99871},
		{Name: "underlay_stub0"},
	},
	Reservoir: &stats.Reservoir{Free: 1 << 30, Allocated: 4 << 30, Limit: 58411555225},
}

func vcpu(id int, seconds time.Duration) stats.VCPU {
	return stats.VCPU{ID: id, Guest: seconds * time.Second, Idle: 5 * time.Second, InKernel: 250 * time.Millisecond,
		InUser: 125 * time.Millisecond, Waiting: time.Microsecond, Initial: 1500 * time.Microsecond}
}

func TestFixture(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(wantFixture, parse(fixture(t)).sample()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	lines := strings.SplitAfter(string(fixture(t)), "\n")
	slices.Reverse(lines)
	if diff := cmp.Diff(wantFixture, parse([]byte(strings.Join(lines, ""))).sample()); diff != "" {
		t.Errorf("in another order: -want +got:\n%s", diff)
	}
}

func TestOmittedKstats(t *testing.T) {
	t.Parallel()
	zone := func(instance, name, zonename, user string) string {
		prefix := "zones:" + instance + ":" + name + ":"
		return prefix + "zonename\t" + zonename + "\n" + prefix + "nsec_user\t" + user + "\n" + prefix + "nsec_sys\t0\n"
	}
	for _, v := range []struct {
		name, out string
		want      stats.Sample
	}{
		{"nothing", "", stats.Sample{}},
		{"other modules", "cpu:0:sys:nsec\t12\nvmm:0:other:x\t1\n", stats.Sample{}},
		{"a zone that has no name yet", "zones:3:a:nsec_user\t1\nzones:3:a:nsec_sys\t1\n", stats.Sample{}},
		{"a zone of another name", zone("3", "a", "b", "1"), stats.Sample{}},
		{"a number that is none", zone("3", "a", "a", "-1"), stats.Sample{}},
		{"a number too large for a duration", zone("3", "a", "a", "9223372036854775808"), stats.Sample{}},
		{"the older ones of one name", zone("9", "a", "a", "5") + zone("1", "a", "a", "5") + zone("10", "a", "a", "6") +
			zone("2", "a", "a", "5") + zone("3", "a", "a", "5") + zone("4", "a", "a", "5") + zone("5", "a", "a", "5"), stats.Sample{Zones: []stats.Zone{{Name: "a", ID: 10, CPU: 6}}}},
		{"lines of another form", "\n\t\nzones\nzones:x:a:b\t1\nzones:1:a\t1\n" + zone("3", "a", "a", "1"), stats.Sample{Zones: []stats.Zone{{Name: "a", ID: 3, CPU: 1}}}},
		{"half a link", "link:0:net0:rbytes64\t1\n", stats.Sample{}},
		{"a link with colons", "link:0:a:b:rbytes64\t1\nlink:0:a:b:obytes64\t2\n", stats.Sample{Links: []stats.Link{{Name: "a:b", Received: 1, Sent: 2}}}},
		{"half a reservoir", "vmm:0:vmm_reservoir:bytes_free\t1\n", stats.Sample{}},
		{"a VM without CPUs", "vmm:4:vm:vm_name\tv\nvmm:4:vcpu0:time_run\t1\nvmm:5:vcpu0:time_run\t1\n", stats.Sample{VMs: []stats.VM{{Name: "v"}}}},
		{"CPUs without a VM", "vmm:4:vm:vm_name\t\n", stats.Sample{}},
	} {
		if diff := cmp.Diff(v.want, parse([]byte(v.out)).sample()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", v.name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fixture(f))
	f.Add([]byte("zones:1:a:zonename\ta\nzones:1:a:nsec_user\t1\nzones:1:a:nsec_sys\t2\n"))
	f.Add([]byte("vmm:1:vm:vm_name\tv\nvmm:1:vcpu9999999999999999999:time_run\t1\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		s := parse(out).sample()
		names := make(map[string]bool)
		for _, z := range s.Zones {
			if z.Name == "" || z.Waited != nil && *z.Waited < 0 || names["zone "+z.Name] {
				t.Errorf("zone %+v", z)
			}
			names["zone "+z.Name] = true
		}
		for _, vm := range s.VMs {
			if vm.Name == "" || names["VM "+vm.Name] {
				t.Errorf("VM %+v", vm)
			}
			names["VM "+vm.Name] = true
		}
	})
}

func TestSample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sample := func(ctx context.Context) (stats.Sample, error) {
		set, err := command.Find("/nonexistent:"+dir, nil, []string{"kstat"}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return Sample(ctx, set)
	}
	if _, err := sample(t.Context()); err == nil {
		t.Error("a sample without the command")
	}
	if err := os.Symlink("/bin/echo", filepath.Join(dir, "kstat")); err != nil {
		t.Fatal(err)
	}
	if got, err := sample(t.Context()); err != nil || !cmp.Equal(got, stats.Sample{}) {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sample(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that fails: %v", err)
	}
}
