package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A ground is what the agent's zones stand on, as an outsider sees it.
type ground interface {
	// zones is the agent's configuration of them.
	zones() section
	// server returns the process of a VMM's server; the agent says s of the VMM.
	server(ctx context.Context, s vmm.Status) (pid int, err error)
	// kinds are what every VMM that runs has something of.
	kinds() []string
	// look lists what there is of a VMM now. known are things that an earlier
	// look has found: some cannot be told for the VMM's once its zone is gone.
	look(ctx context.Context, id uuid.UUID, known []thing) ([]thing, error)
	// clear ends whatever of it still runs.
	clear(ctx context.Context) error
}

// A section is a table of the agent's configuration.
type section = map[string]any

// A thing is what a VMM has of the host, and must have no more when it is over.
type thing struct{ kind, name string }

func (t thing) String() string { return t.kind + " " + t.name }

const (
	kindDirectory = "zone directory"
	kindZone      = "zone"
	kindProcess   = "process"
	kindLink      = "datalink"
	kindDataset   = "dataset"
)

// absent returns the first of the kinds that none of the things is of; empty if
// there is none.
func absent(kinds []string, things []thing) string {
	for _, kind := range kinds {
		if !slices.ContainsFunc(things, func(t thing) bool { return t.kind == kind }) {
			return kind
		}
	}
	return ""
}

// A backend is one of the agent's for zones, with what the demo needs for it.
type backend struct {
	name string
	// programs are needed beside those of every demo; build is what makes them.
	programs []string
	build    string
	// lay makes the ground in the demo's directory. If it fails, nothing runs.
	lay func(ctx context.Context, dir string, programs map[string]string) (ground, error)
	// setting says what is special about it, if anything; witness who was asked
	// in the end what is left, and for what.
	setting, witness string
}

// backends has the default first.
func backends() []backend {
	return []backend{
		{name: "process", build: "make build", lay: layProcess, witness: "the file system (no zone directory)"},
		{name: "illumos", programs: []string{standin}, build: "make demo BACKEND=illumos", lay: layStandin,
			setting: "The zones are those of illumos: the agent runs zoneadm, zonecfg, dladm and so on. Here these are " +
				"stand-ins, which keep the state of one host between them and run the servers.",
			witness: "zoneadm, dladm and zfs (no zone, datalink or dataset), the file system (no zone directory)"},
	}
}

func backendNames() (names []string) {
	for _, b := range backends() {
		names = append(names, b.name)
	}
	return names
}

func backendNamed(name string) (backend, error) {
	all := backends()
	if i := slices.IndexFunc(all, func(b backend) bool { return b.name == name }); i >= 0 {
		return all[i], nil
	}
	return backend{}, fmt.Errorf("--backend %s: want %s", name, strings.Join(backendNames(), " or "))
}

// needs are all programs that a demo with this backend runs.
func (b backend) needs() []string {
	return append([]string{"nexus-sim", "sled-agent", "propolis-sim"}, b.programs...)
}
