package stats

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

type sourceFunc func(context.Context) (Sample, error)

func (f sourceFunc) Sample(ctx context.Context) (Sample, error) { return f(ctx) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func vcpu(id int, seconds time.Duration) VCPU {
	return VCPU{ID: id, Guest: seconds * time.Second, Idle: 5 * time.Second, InKernel: 250 * time.Millisecond,
		InUser: 125 * time.Millisecond, Waiting: time.Microsecond, Initial: 1500 * time.Microsecond}
}

// fullSample sets every field.
var fullSample = Sample{
	Zones: []Zone{
		{Name: "global", ID: 0, CPU: 2733 * time.Millisecond, Waited: new(5 * time.Nanosecond)},
		{Name: "oxz_propolis-server_5bb1ae42-3a0d-4d3e-8c51-0d3f0e1b7c11", ID: 7, CPU: 3750 * time.Millisecond, Waited: new(300 * time.Millisecond)},
		{Name: "oxz_propolis-server_5bb1ae42-9999-4d3e-8c51-0d3f0e1b7c11", ID: 12, CPU: 30, Waited: new(30 * time.Nanosecond)},
		{Name: "with-memory", Resident: new(uint64(4096))},
	},
	VMs: []VM{
		{Name: "5bb1ae42-3a0d-4d3e-8c51-0d3f0e1b7c11", VCPUs: []VCPU{vcpu(0, 10), vcpu(1, 11)}},
		{Name: "5bb1ae42-9999-4d3e-8c51-0d3f0e1b7c11", VCPUs: []VCPU{vcpu(0, 20)}},
	},
	Links: []Link{
		{Name: "oxControlInstance0", Received: 1200345, Sent: 99871},
		{Name: "underlay_stub0"},
	},
	Reservoir: &Reservoir{Free: 1 << 30, Allocated: 4 << 30, Limit: 58411555225},
}

// The golden file defines the names and labels.
func TestMetrics(t *testing.T) {
	t.Parallel()
	sample := fullSample
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return sample, nil }))
	golden, err := os.Open("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	if err := testutil.CollectAndCompare(c, golden); err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(c)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if err := prometheus.NewPedanticRegistry().Register(c); err != nil {
		t.Error(err)
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/illumos.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for line := range strings.Lines(string(golden)) {
		if fields := strings.Fields(line); fields[0] == "#" && fields[1] == "TYPE" {
			names++
			if !strings.Contains(string(page), "`"+fields[2]+"`") && !strings.Contains(string(page), "`"+fields[2]+"{") {
				t.Errorf("%s is not documented", fields[2])
			}
		}
	}
	if want := len(descriptions()); names != want {
		t.Errorf("%d metrics are in the golden file, want all %d", names, want)
	}
}

func TestFailedSample(t *testing.T) {
	t.Parallel()
	const down = "# HELP sled_stats_up Whether the statistics below could be taken: 1 or 0.\n# TYPE sled_stats_up gauge\nsled_stats_up 0\n"
	broken := errors.New("broken")
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return Sample{}, broken }))
	if err := testutil.CollectAndCompare(c, strings.NewReader(down)); err != nil {
		t.Error(err)
	}
	c = NewCollector(sourceFunc(func(context.Context) (Sample, error) { panic("oops") }))
	if err := testutil.CollectAndCompare(c, strings.NewReader(down)); err != nil {
		t.Errorf("a panic: %v", err)
	}
}

func TestNamesThatAreNotUTF8(t *testing.T) {
	t.Parallel()
	sample := Sample{Links: []Link{{Name: "a\xff"}, {Name: "b"}}}
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return sample, nil }))
	if n := testutil.CollectAndCount(c, "sled_link_bytes_total"); n != 2 {
		t.Errorf("%d series, want those of the one good link", n)
	}
}

func count(c prometheus.Collector) int {
	ch := make(chan prometheus.Metric, 100)
	c.Collect(ch)
	return len(ch)
}

func TestScrapesShareASample(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var samples atomic.Int32
		release := make(chan struct{})
		c := NewCollector(sourceFunc(func(context.Context) (Sample, error) {
			samples.Add(1)
			<-release
			return Sample{Links: []Link{{Name: "a"}}}, nil
		}))
		var wg sync.WaitGroup
		counts := make([]int, 5)
		for i := range counts {
			wg.Go(func() { counts[i] = count(c) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if diff := cmp.Diff([]int{3, 3, 3, 3, 3}, counts); diff != "" || samples.Load() > 2 {
			t.Errorf("%d samples, -want +got:\n%s", samples.Load(), diff)
		}
	})
}

func TestSampleThatIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var samples atomic.Int32
		release := make(chan struct{})
		c := NewCollector(sourceFunc(func(context.Context) (Sample, error) {
			samples.Add(1)
			<-release // ignores its context
			return Sample{}, nil
		}))
		if got := []int{count(c), count(c)}; !slices.Equal(got, []int{1, 1}) || samples.Load() != 1 {
			t.Errorf("%v metrics by %d samples", got, samples.Load())
		}
		close(release)
		synctest.Wait()
		if n := count(c); n != 1 || samples.Load() < 2 {
			t.Errorf("after the stuck sample: %d metrics, %d samples", n, samples.Load())
		}
	})
}
