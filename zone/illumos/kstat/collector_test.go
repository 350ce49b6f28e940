package kstat

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

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

type sourceFunc func(context.Context) (Sample, error)

func (f sourceFunc) Sample(ctx context.Context) (Sample, error) { return f(ctx) }

// The golden file is the contract of names and labels.
func TestMetrics(t *testing.T) {
	t.Parallel()
	sample := parse(fixture(t)).sample()
	sample.Zones = append(sample.Zones, Zone{Name: "with-memory", Resident: ptr(uint64(4096))})
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return sample, nil }), nil)
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
	page, err := os.ReadFile("../../../docs/illumos.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for line := range strings.Lines(string(golden)) {
		if words := strings.Fields(line); words[0] == "#" && words[1] == "TYPE" {
			names++
			if !strings.Contains(string(page), "`"+words[2]+"`") && !strings.Contains(string(page), "`"+words[2]+"{") {
				t.Errorf("%s is not documented", words[2])
			}
		}
	}
	if want := len(descriptions()); names != want {
		t.Errorf("%d metrics are in the golden file, want all %d", names, want)
	}
}

func TestSampleThatFails(t *testing.T) {
	t.Parallel()
	const down = "# HELP sled_stats_up Whether the statistics below could be taken: 1 or 0.\n# TYPE sled_stats_up gauge\nsled_stats_up 0\n"
	broken := errors.New("broken")
	var told error
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return Sample{}, broken }), func(err error) { told = err })
	if err := testutil.CollectAndCompare(c, strings.NewReader(down)); err != nil || !errors.Is(told, broken) {
		t.Errorf("%v; told of %v", err, told)
	}
	c = NewCollector(sourceFunc(func(context.Context) (Sample, error) { panic("oops") }), nil)
	if err := testutil.CollectAndCompare(c, strings.NewReader(down)); err != nil {
		t.Errorf("a panic: %v", err)
	}
}

func TestNamesThatAreNoText(t *testing.T) {
	t.Parallel()
	sample := Sample{Links: []Link{{Name: "a\xff"}, {Name: "b"}}}
	c := NewCollector(sourceFunc(func(context.Context) (Sample, error) { return sample, nil }), nil)
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
		}), nil)
		var wg sync.WaitGroup
		counts := make([]int, 5)
		for i := range counts {
			wg.Go(func() { counts[i] = count(c) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if diff := cmp.Diff([]int{3, 3, 3, 3, 3}, counts); diff != "" || samples.Load() != 1 {
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
			<-release // whatever its context says
			return Sample{}, nil
		}), nil)
		if got := []int{count(c), count(c)}; !slices.Equal(got, []int{1, 1}) || samples.Load() != 1 {
			t.Errorf("%v metrics by %d samples", got, samples.Load())
		}
		close(release)
		synctest.Wait()
		if n := count(c); n != 1 || samples.Load() != 2 {
			t.Errorf("once it goes on: %d metrics, %d samples", n, samples.Load())
		}
	})
}
