package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// An illumosGround is a host that behaves as illumos does, to the commands that the
// backend runs.
type illumosGround struct {
	*illumostest.Host
	owner *owner
	// links and datasets are what the host had at first.
	links, datasets []string
}

// An owner stands for the test that a host was made for, which may end before the
// host does.
type owner struct {
	testing.TB
	atEnd []func()
}

func (o *owner) Cleanup(f func()) { o.atEnd = append(o.atEnd, f) }

// newIllumosSled is newSled for a test of what the illumos backend alone has.
func newIllumosSled(t *testing.T, s setup) (*sled, *illumosGround) {
	t.Helper()
	if backend != "illumos" {
		t.Skip("the host is illumos with E2E_BACKEND=illumos")
	}
	l := newSled(t, s)
	g := l.ground.(*illumosGround)
	t.Cleanup(g.ReleaseAll) // Before the sled's end.
	return l, g
}

func newIllumosGround(t *testing.T, dir string, server []string) *illumosGround {
	t.Helper()
	dir = filepath.Join(dir, "illumos")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g := &illumosGround{owner: &owner{TB: t}}
	g.Host = illumostest.Install(g.owner, dir, illumostest.Options{
		Server: server,
		// Of the servers' family, for their gateway.
		Addresses: []illumostest.Address{{Name: "underlay0/sled4", Type: "static", Addr: "127.0.0.1/8"}},
	})
	g.links, g.datasets = names(g.Links()), names(g.Datasets())
	return g
}

func (g *illumosGround) zones() section {
	return section{"backend": "illumos", "illumos": section{"command_path": g.BinDir(), "zone_root": g.ZoneRoot(),
		"image": g.Images(), "vmmctl": ""}}
}

func (g *illumosGround) of(id uuid.UUID) []string {
	zone := zonePrefix + id.String()
	left := append(leftovers(id.String()), named(g.ZoneRoot(), zone)...)
	if state := g.State(zone); state != "" {
		left = append(left, "a zone that is "+state)
	}
	if d, ok := g.Datasets()["rpool/zones/"+zone]; ok {
		left = append(left, fmt.Sprintf("the dataset %v", *d))
	}
	return left
}

// all counts a zoneadmd as its zone's, which it outlives for a moment.
func (g *illumosGround) all() (left []string) {
	for _, zone := range names(g.Zones()) {
		left = append(left, "zone "+zone)
	}
	left = append(left, changes("datalink", g.links, names(g.Links()))...)
	left = append(left, changes("dataset", g.datasets, names(g.Datasets()))...)
	for _, pid := range g.Processes("") {
		left = append(left, fmt.Sprintf("process %d", pid))
	}
	return left
}

func (g *illumosGround) halt(v *vm) {
	v.t.Helper()
	g.mustRun(v.t, "zoneadm", "-z", v.zone(), "halt")
}

// mustRun runs a command of the host, which must succeed.
func (g *illumosGround) mustRun(t *testing.T, argv ...string) {
	t.Helper()
	if r := g.Run(argv[0], argv[1:]...); r.Exit != 0 {
		t.Fatalf("%q: exit %d, %s", argv, r.Exit, r.ErrOut)
	}
}

func (g *illumosGround) end(t *testing.T) {
	t.Helper()
	g.owner.TB = t
	for _, f := range slices.Backward(g.owner.atEnd) {
		f()
	}
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// changes lists what is new and what is missing.
func changes(what string, before, after []string) (all []string) {
	for _, name := range after {
		if !slices.Contains(before, name) {
			all = append(all, what+" "+name)
		}
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			all = append(all, what+" "+name+" no more")
		}
	}
	return all
}
