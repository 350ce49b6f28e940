package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// results collects what the benchmarks found for the table at the end of a run.
var results board

type board struct {
	mu   sync.Mutex
	rows []row
}

// A row is one figure beside its floor. ratio is what the agent costs, in floors.
type row struct {
	what, unit   string
	ours, floor  float64
	ratio        float64
	moreIsBetter bool
}

// add adds a row or, when a benchmark runs again, replaces its last.
func (t *board) add(r row) {
	r.ratio = r.ours / r.floor
	if r.moreIsBetter {
		r.ratio = r.floor / r.ours
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	same := func(have row) bool { return have.what == r.what && have.unit == r.unit }
	if i := slices.IndexFunc(t.rows, same); i >= 0 {
		t.rows[i] = r
		return
	}
	t.rows = append(t.rows, r)
}

// print writes the table, or nothing if no benchmark ran.
func (t *board) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s on %s/%s, %d cores\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0
	for _, r := range t.rows {
		width = max(width, len(r.what))
	}
	line := func(what string, cells ...string) {
		fmt.Fprintf(tab, "%-*s\t%s\t\n", width, what, strings.Join(cells, "\t"))
	}
	line("", "ours", "floor", "", "ratio")
	for _, r := range t.rows {
		line(r.what, figure(r.ours), figure(r.floor), fmt.Sprintf("%-9s", r.unit), "x"+figure(r.ratio))
	}
	tab.Flush()
}

// figure writes a number with the digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		n := int(math.Round(v))
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func TestBoard(t *testing.T) {
	t.Parallel()
	var b board
	var out strings.Builder
	b.print(&out)
	if out.Len() != 0 {
		t.Errorf("an empty board printed %q", out.String())
	}
	b.add(row{what: "slow", unit: "ms", ours: 9, floor: 1})
	b.add(row{what: "slow", unit: "ms", ours: 3, floor: 2})
	b.add(row{what: "requests", unit: "a second", ours: 20_047.4, floor: 40_094.8, moreIsBetter: true})
	b.print(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	got := []string{}
	for _, l := range lines[2:] {
		got = append(got, strings.Join(strings.Fields(l), " "))
	}
	want := []string{"ours floor ratio", "slow 3.00 2.00 ms x1.50", "requests 20,047 40,095 a second x2.00"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant %q", out.String(), want)
	}
}

// sample is a set of measured times.
type sample []time.Duration

// median is the middle of the set, the later of two.
func (s sample) median() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[len(s)/2]
}

func (s sample) max() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Max(s)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// metrics reports figures and drops ns/op, which for a benchmark made of rounds
// would mostly be the time of setting them up.
func metrics(b *testing.B, all map[string]float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	for unit, v := range all {
		b.ReportMetric(v, unit)
	}
}
