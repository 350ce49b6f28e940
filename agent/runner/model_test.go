package runner

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// The bound of the exploration: each order begins with one of these and continues for this
// number of moves, less those listed for it. left limits the moves of each class. Two orders
// that reach the same world continue as one.
var depth = flag.Int("model.depth", 3, "how many moves each order of the model test goes on for")

var (
	bound = map[string]int{"fails": 2, "crash": 1, "fact": 1, "hint": 1, "time": 2, "Start": 2, "Stop": 1, "repeat": 1,
		"Reboot": 1, "Kill": 1, "Unregister": 1}
	beginnings = map[string]beginning{
		"registering": {path: ""},
		"registered":  {path: "disk"},
		"starting":    {path: "disk, Start, disk"},
		"removing":    {path: "disk, Start, disk, Kill, disk"},
		"ended":       {path: "disk, Kill, disk, Release, Gone 1"},
		"late start":  {path: "disk, Start, disk, Kill, disk, Release, Gone 1"},
		"booted":      {path: booted, less: 1},
		"ensured":     {path: booted + ", Ensure, disk", less: 1},
		"repeating":   {path: booted + ", Ensure, disk, Put Run is lost, Watch, disk, Nexus, disk, tick", less: 1},
		"running":     {path: booted + ", Ensure, disk, Put Run, Watch, disk, Nexus, disk"},
		"stopping":    {path: booted + ", Ensure, disk, Put Run, Watch, disk, Nexus, disk, Stop, disk, Nexus, disk"},
	}
)

const booted = "disk, Start, disk, Create, Boot, Look, disk"

type beginning struct {
	path string
	less int
}

func (b beginning) moves() []string {
	if b.path == "" {
		return nil
	}
	return strings.Split(b.path, ", ")
}

// in runs a test in a world, and ends what is left of it.
func in(t *testing.T, left map[string]int, test func(w *world) error) (err error) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(maps.Clone(left))
		if err = test(w); err != nil {
			err = fmt.Errorf("after %s: %w", strings.Join(w.path, ", "), err)
		}
		if !w.isDead() {
			w.die()
		}
	})
	return err
}

// TestModelEveryOrder makes every order of moves up to the bound.
func TestModelEveryOrder(t *testing.T) {
	t.Parallel()
	for name, b := range beginnings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := explorer{from: b.moves(), depth: *depth - b.less, seen: map[string]int{}, stack: [][]string{nil}}
			for len(x.stack) > 0 {
				next := x.stack[len(x.stack)-1]
				x.stack = x.stack[:len(x.stack)-1]
				if err := in(t, bound, func(w *world) error { return x.walk(w, next) }); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d orders to %d worlds, %d runs, %d lost", x.orders, len(x.seen), x.runs, x.lost)
		})
	}
}

// An explorer searches depth first. To go back it starts over.
type explorer struct {
	from  []string
	depth int
	stack [][]string
	// seen is the number of moves left when a world was seen.
	seen               map[string]int
	orders, runs, lost int
}

func (x *explorer) walk(w *world, path []string) error {
	x.runs++
	if err := w.follow(slices.Concat(x.from, path)...); errors.Is(err, errLost) {
		x.lost++
		return nil
	} else if err != nil {
		return err
	}
	for {
		left := x.depth - len(path)
		k := w.key()
		if was, ok := x.seen[k]; ok && was >= left {
			return nil
		}
		x.seen[k] = left
		all := w.moves()
		if left == 0 || len(all) == 0 {
			x.orders++
			return w.settle()
		}
		for _, m := range all[1:] {
			x.stack = append(x.stack, slices.Concat(path, []string{m.name}))
		}
		path = slices.Concat(path, []string{all[0].name})
		if err := w.take(all[0]); err != nil {
			return err
		}
	}
}

// TestWatchdogReportsFirst blocks the loop while a deadline begins a removal. The removal
// ends before the start returns with a zone that it has created late. The loop receives the
// reports in random order.
func TestWatchdogReportsFirst(t *testing.T) {
	t.Parallel()
	for range 20 {
		err := in(t, bound, func(w *world) error {
			if err := w.follow(beginnings["starting"].moves()...); err != nil {
				return err
			}
			w.stands = make(chan struct{})
			w.ask(vmm.Start{})
			synctest.Wait()
			w.pass(modelLimits.StartTimeout)
			if err := w.follow("Expired 1", "Release", "Gone 1", "Create", "Boot"); err != nil {
				return err
			}
			close(w.stands)
			synctest.Wait()
			return w.settle()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestModelRandomWalks exceeds the bound, and also makes the steps of removals hang and
// fail.
func TestModelRandomWalks(t *testing.T) {
	t.Parallel()
	for name, b := range beginnings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				rarely := func(what string) int { return rapid.IntRange(0, 1).Draw(rt, what) }
				left := map[string]int{"crash": 2 * rarely("crash"), "fact": rarely("fact"), "Kill": rarely("kill"),
					"Unregister": rarely("unregister"), "fails": 20}
				slow := rarely("slow") == 1
				which := rapid.SliceOfN(rapid.IntRange(0, 1000), 1, 60).Draw(rt, "moves")
				err := in(t, bound, func(w *world) error {
					if err := w.follow(b.moves()...); err != nil {
						return err
					}
					w.do(func() { w.slow, w.left = slow, left })
					for _, n := range which {
						all := w.moves()
						if len(all) == 0 {
							break
						}
						if err := w.take(all[n%len(all)]); err != nil {
							return err
						}
					}
					return w.settle()
				})
				if err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}
