package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// maxEvidence bounds the collections whose files are taken, the newest.
const maxEvidence = 20

// AddEvidence adds what the agent has collected before it ended VMs by force, of all VMMs or,
// if id is not nil, of one.
func (r *Report) AddEvidence(ctx context.Context, stateDir string, id uuid.UUID) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*partBudget, fmt.Errorf("the disk was asked for %s", 2*partBudget))
	defer cancel()
	dir := filepath.Join(stateDir, "evidence")
	names, err := within(ctx, func(context.Context) ([]byte, error) { return collections(dir, id) })
	if len(names) == 0 && err == nil {
		return
	}
	r.add("evidence.txt", "the collections of evidence that are kept, the newest first", names, err)
	all := strings.Fields(string(names))
	for _, name := range all[:min(len(all), maxEvidence)] {
		files, err := within(ctx, func(context.Context) ([]byte, error) { return filesIn(filepath.Join(dir, name)) })
		if err != nil {
			r.add("evidence/"+name, "", nil, err)
		}
		for file := range strings.FieldsSeq(string(files)) {
			r.logFile(ctx, "evidence/"+name+"/"+file, "collected before a VM was ended by force", filepath.Join(dir, name, file), true)
		}
	}
}

// collections returns the names of collections, the newest first, one on each line.
func collections(dir string, id uuid.UUID) ([]byte, error) {
	const idLength = 36
	all, err := filesIn(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	names := slices.DeleteFunc(strings.Fields(string(all)), func(name string) bool {
		return len(name) <= idLength || id != uuid.Nil && !strings.HasPrefix(name, id.String())
	})
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b[idLength:], a[idLength:]) })
	return lines(names), err
}

// filesIn returns the names in a directory, one on each line.
func filesIn(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return lines(names), err
}

func lines(names []string) []byte {
	if len(names) == 0 {
		return nil
	}
	return []byte(strings.Join(names, "\n") + "\n")
}
