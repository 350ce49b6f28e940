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

// An illumosBackend is a host that behaves like illumos for the commands of the backend.
type illumosBackend struct {
	*illumostest.Host
	owner *owner
	// links and datasets are those of the host at first.
	links, datasets []string
}

// An owner is the testing.TB of a host, whose test may end before the host does.
type owner struct {
	testing.TB
	atEnd []func()
}

func (o *owner) Cleanup(f func()) { o.atEnd = append(o.atEnd, f) }

// newIllumosHarness is newHarness for a test that only the illumos backend supports.
func newIllumosHarness(t *testing.T, s setup) (*harness, *illumosBackend) {
	t.Helper()
	if backendName != "illumos" {
		t.Skip("the host is illumos with E2E_BACKEND=illumos")
	}
	h := newHarness(t, s)
	b := h.backend.(*illumosBackend)
	t.Cleanup(b.ReleaseAll) // Before the harness is closed.
	return h, b
}

func newIllumosBackend(t testing.TB, dir string, server []string) *illumosBackend {
	t.Helper()
	dir = filepath.Join(dir, "illumos")
	must(t, os.Mkdir(dir, 0o700))
	b := &illumosBackend{owner: &owner{TB: t}}
	b.Host = illumostest.Install(b.owner, dir, illumostest.Options{
		Server: server,
		// This has the servers' address family, for their gateway.
		Addresses: []illumostest.Address{{Name: "underlay0/sled4", Type: "static", Addr: "127.0.0.1/8"}},
	})
	b.links, b.datasets = names(b.Links()), names(b.Datasets())
	return b
}

func (b *illumosBackend) config() section {
	return section{"backend": "illumos", "illumos": section{"command_path": b.BinDir(), "zone_root": b.ZoneRoot(),
		"image": b.Images(), "vmmctl": ""}}
}

func (b *illumosBackend) of(id uuid.UUID) []string {
	zone := zonePrefix + id.String()
	left := append(leftovers(id.String()), named(b.ZoneRoot(), zone)...)
	if state := b.State(zone); state != "" {
		left = append(left, "a zone that is "+state)
	}
	if d, ok := b.Datasets()["rpool/zones/"+zone]; ok {
		left = append(left, fmt.Sprintf("the dataset %v", *d))
	}
	return left
}

// all counts a zoneadmd as its zone's; it outlives the zone for a moment.
func (b *illumosBackend) all() (left []string) {
	for _, zone := range names(b.Zones()) {
		left = append(left, "zone "+zone)
	}
	left = append(left, changes("datalink", b.links, names(b.Links()))...)
	left = append(left, changes("dataset", b.datasets, names(b.Datasets()))...)
	for _, pid := range b.Processes("") {
		left = append(left, fmt.Sprintf("process %d", pid))
	}
	return left
}

func (b *illumosBackend) halt(v *vm) {
	v.t.Helper()
	b.mustRun(v.t, "zoneadm", "-z", v.zone(), "halt")
}

// mustRun runs a command of the host and fails the test if that fails.
func (b *illumosBackend) mustRun(t testing.TB, argv ...string) {
	t.Helper()
	if r := b.Run(argv[0], argv[1:]...); r.Exit != 0 {
		t.Fatalf("%q: exit %d, %s", argv, r.Exit, r.ErrOut)
	}
}

func (b *illumosBackend) close(t testing.TB) {
	t.Helper()
	b.owner.TB = t
	for _, f := range slices.Backward(b.owner.atEnd) {
		f()
	}
	b.owner.atEnd = nil
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
