package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A ground is what an agent makes its zones of, and how they look from outside.
type ground interface {
	// zones is the configuration's table of that name.
	zones() section
	// of lists what there is of a VMM's zone.
	of(id uuid.UUID) []string
	// all lists what there is of zones on the whole.
	all() []string
	// halt ends a VMM's zone in a way that is not the agent's.
	halt(v *vm)
	// end ends whatever runs in zones and takes the ground away.
	end(t *testing.T)
}

// backend is what the whole suite runs with.
var backend = os.Getenv("E2E_BACKEND")

// starting is twice as long as a start may take, on a busy machine too. On illumos
// it takes a dozen commands.
func starting() time.Duration {
	if backend == "illumos" {
		return 12 * time.Second
	}
	return 3 * time.Second
}

// newGround makes what the agent of a test in dir has its zones on. server is the
// command line in each.
func newGround(t *testing.T, dir string, server []string) ground {
	t.Helper()
	switch backend {
	case "", "process":
		return &processGround{dir, server}
	case "illumos":
		return newIllumosGround(t, dir, server)
	default:
		t.Fatalf("E2E_BACKEND is %q, want process or illumos", backend)
		return nil
	}
}

// A processGround has zones that are process trees.
type processGround struct {
	dir    string // the test's
	server []string
}

func (g *processGround) zones() section {
	return section{"backend": "process", "process": section{"propolis": g.server}}
}

func (g *processGround) of(id uuid.UUID) (left []string) {
	for _, dir := range entries(filepath.Join(g.dir, "state")) {
		left = append(left, named(dir, id.String())...)
	}
	return append(left, leftovers(id.String())...)
}

func (g *processGround) all() []string {
	dir := filepath.Join(g.dir, "state", "zones")
	return append(entries(dir), leftovers(dir)...)
}

func (g *processGround) halt(v *vm) {
	v.t.Helper()
	v.signal("sled-zone-init", syscall.SIGKILL)
}

func (g *processGround) end(t *testing.T) {
	t.Helper()
	killLeftovers(g.dir)
	trial.Until(t, trial.Patience, func() string {
		if left := processes(g.dir); len(left) > 0 {
			return fmt.Sprintf("processes run: %v", left)
		}
		return ""
	})
	for _, zone := range entries(filepath.Join(g.dir, "state", "zones")) {
		for _, group := range cgroups(filepath.Base(zone)) {
			_ = os.Remove(group) // It is gone by itself, or of no use to anybody.
		}
	}
}
