package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A backend is the kind of an agent's zones, and how to inspect them from outside.
type backend interface {
	// config is the configuration's table "zones".
	config() section
	// of lists what exists of a VMM's zone.
	of(id uuid.UUID) []string
	// all lists what exists of any zone.
	all() []string
	// halt ends a VMM's zone from outside the agent.
	halt(v *vm)
	// close ends whatever runs in zones.
	close(t testing.TB)
}

// backendName is the backend that the suite runs with.
var backendName = os.Getenv("E2E_BACKEND")

// zonePrefix begins the names of the agent's zones.
const zonePrefix = "oxz_propolis-server_"

// startTime is twice the time that a start may take, even on a busy machine. On illumos it runs a
// dozen commands.
func startTime() time.Duration {
	if backendName == "illumos" {
		return 20 * time.Second
	}
	return 10 * time.Second
}

// newBackend makes the zone backend for a test in dir. server is the command line in each zone.
func newBackend(t testing.TB, dir string, server []string) backend {
	t.Helper()
	switch backendName {
	case "", "process":
		return &processBackend{dir, server}
	case "illumos":
		return newIllumosBackend(t, dir, server)
	default:
		t.Fatalf("E2E_BACKEND is %q, want process or illumos", backendName)
		return nil
	}
}

// onlyOnProcesses skips a test that is about the process backend, or about the agent's process
// regardless of zones.
func onlyOnProcesses(t testing.TB) {
	t.Helper()
	if backendName == "illumos" {
		t.Skip("a test on zones that are process trees")
	}
	skipWithoutProc(t)
}

// A processBackend has zones that are process trees.
type processBackend struct {
	dir    string // the test's directory
	server []string
}

func (b *processBackend) config() section {
	process := section{}
	if b.server != nil {
		process["propolis"] = b.server
	}
	return section{"backend": "process", "process": process}
}

func (b *processBackend) of(id uuid.UUID) (left []string) {
	for _, dir := range entries(filepath.Join(b.dir, "state")) {
		if base := filepath.Base(dir); base != "bundles" && base != "evidence" { // they are meant to outlive it
			left = append(left, named(dir, id.String())...)
		}
	}
	return append(left, leftovers(id.String())...)
}

func (b *processBackend) all() []string {
	dir := filepath.Join(b.dir, "state", "zones")
	return append(entries(dir), leftovers(dir)...)
}

func (b *processBackend) halt(v *vm) {
	v.t.Helper()
	v.signal("sled-zone-init", syscall.SIGKILL)
}

func (b *processBackend) close(t testing.TB) {
	t.Helper()
	waitFor(t, func() string {
		left := processes(b.dir)
		for _, p := range left {
			p.kill()
		}
		if len(left) > 0 {
			return fmt.Sprintf("processes run: %v", left)
		}
		return ""
	})
	for _, zone := range entries(filepath.Join(b.dir, "state", "zones")) {
		for _, group := range cgroups(filepath.Base(zone)) {
			_ = os.Remove(group) // It is removed automatically, or is in use.
		}
	}
}
