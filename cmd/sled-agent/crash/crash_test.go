package crash

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// leastPoints is how many different points the lives must have, lest the tests
// pass because there are no more failpoints.
const leastPoints = 40

// sampled is how many of a life's points a short run tries.
const sampled = 2

// everywhere, set by SLOW_TESTS=1, has the agent die at both passes of every
// point in every life. Otherwise it dies at every point once, in one life that
// comes by it.
var everywhere = os.Getenv("SLOW_TESTS") == "1"

// slow leaves a test to make test-slow: the whole suite is to take two minutes.
func slow(t *testing.T) {
	t.Helper()
	if !everywhere {
		t.Skip("part of make test-slow (SLOW_TESTS=1)")
	}
}

// A point is one pass of a failpoint.
type point struct {
	name string
	nth  int
}

func (p point) String() string { return fmt.Sprintf("%s:%d", p.name, p.nth) }

// At whatever step the agent dies, its VMs live on, and their lives end as if it
// had not (R, D, T, N, L).
func TestDeathAtEveryStep(t *testing.T) {
	var died deaths
	t.Run("in", func(t *testing.T) {
		for _, life := range lives {
			t.Run(life.name, func(t *testing.T) {
				t.Parallel()
				points := life.points(t)
				died.begin()
				if !everywhere {
					points = died.untried(points)
				}
				if testing.Short() {
					points = everyNth(points, (len(points)+sampled-1)/sampled)
				}
				for _, p := range points {
					t.Run(p.String(), func(t *testing.T) {
						t.Parallel()
						died.add(p, life.diesAt(t, p))
					})
				}
			})
		}
	})
	died.judge(t)
}

// deaths is where agents have died.
type deaths struct {
	mu     sync.Mutex
	at     map[string]bool
	missed []string
	cases  int
	lives  int
	tried  map[string]bool
}

// untried takes the points that no other life has taken.
func (d *deaths) untried(points []point) (ours []point) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tried == nil {
		d.tried = map[string]bool{}
	}
	for _, p := range points {
		if !d.tried[p.name] {
			d.tried[p.name] = true
			ours = append(ours, p)
		}
	}
	return ours
}

// begin notes that a life is tried.
func (d *deaths) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives++
}

func (d *deaths) add(p point, died bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cases++
	if !died {
		d.missed = append(d.missed, p.String())
		return
	}
	if d.at == nil {
		d.at = map[string]bool{}
	}
	d.at[p.name] = true
}

func (d *deaths) judge(t *testing.T) {
	t.Logf("the agent died at %d different points in %d lives; %d were not come by: %v", len(d.at), d.cases, len(d.missed), d.missed)
	all := !testing.Short() && d.lives == len(lives) // and not a few, by -run
	if all && len(d.at) < leastPoints {
		t.Errorf("the agent died at %d different points, want %d or more: %v", len(d.at), leastPoints, slices.Sorted(maps.Keys(d.at)))
	}
	if all && len(d.missed) > d.cases/10 {
		t.Errorf("of %d lives, %d never came by their point: %v", d.cases, len(d.missed), d.missed)
	}
}

func everyNth(points []point, n int) (some []point) {
	for i := 0; i < len(points); i += n {
		some = append(some, points[i])
	}
	return some
}

// points lives the life undisturbed and returns the points that it came by: the
// first two passes of each. What the life has in common with an earlier one, the
// launch of its VM, is passed over.
func (f life) points(t *testing.T) (points []point) {
	list := filepath.Join(t.TempDir(), "points")
	f.live(t, "SLED_AGENT_FAILPOINT_LIST="+list)
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(text))
	skip := 0
	if f.launched {
		skip = 1 + slices.Index(names, launchedMark)
	}
	passes, taken := map[string]int{}, map[string]int{}
	for i, name := range names {
		passes[name]++
		if i >= skip && name != launchedMark && taken[name] < 2 {
			taken[name]++
			points = append(points, point{name, passes[name]})
		}
	}
	return points
}

// diesAt lives the life with an agent that dies at a point. It tells whether it did.
func (f life) diesAt(t *testing.T, p point) bool {
	l := f.live(t, "SLED_AGENT_FAILPOINT="+p.String())
	return len(l.agents) > f.agent+1
}

// live lives the life with something in the environment of the agent in question.
func (f life) live(t *testing.T, env string) *sled {
	envs := make([][]string, f.agent+1)
	envs[f.agent] = []string{env}
	l := newSled(t, setup{modes: f.modes, lives: envs})
	unkept := l.keep()
	defer unkept()
	v := l.newVM(t)
	if f.doomed {
		v.endsNow()
	}
	f.play(v)
	unkept()
	l.conclude()
	return l
}
