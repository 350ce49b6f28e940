package demo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// processGround is this machine: zones are processes, each with a directory.
type processGround struct{ dir string }

func layProcess(_ context.Context, dir string, _ map[string]string) (ground, error) {
	return processGround{filepath.Join(dir, stateDir, "zones")}, nil
}

func (processGround) zones() section { return section{"backend": "process"} }

func (processGround) kinds() []string { return []string{kindDirectory} }

// server is the zone's first process.
func (processGround) server(_ context.Context, s vmm.Status) (int, error) { return s.PID, nil }

func (g processGround) look(_ context.Context, id uuid.UUID, _ []thing) ([]thing, error) {
	return directories(g.dir, id)
}

func (processGround) clear(context.Context) error { return nil }

// directories are the zone directories of a VMM below root; none if there is no root.
func directories(root string, id uuid.UUID) (out []thing, err error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), id.String()) {
			out = append(out, thing{kindDirectory, e.Name()})
		}
	}
	return out, nil
}
