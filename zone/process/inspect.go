package process

import (
	"context"
	"errors"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

var _ zone.Inspector = (*Manager)(nil)

// Processes implements zone.Inspector.
func (m *Manager) Processes(ctx context.Context, name string, most int) ([]int, error) {
	return answer(ctx, "list processes of zone", name, func() ([]int, error) {
		ps, err := m.found(name)
		switch {
		case err != nil:
			return nil, err
		case !ps.running:
			return nil, errors.New("it does not run")
		}
		return proc.Tree(ps.boot.Init, most)
	})
}

// Inspect implements zone.Inspector: a table of the processes and, on Linux, where their
// threads are in the kernel, and their open files.
func (m *Manager) Inspect(ctx context.Context, pids []int, keep func(file string, text []byte)) error {
	keep("processes.txt", proc.Table(pids))
	stacks, unread := proc.Stacks(pids)
	keep("stacks.txt", stacks)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	files, unlisted := proc.Files(pids)
	keep("files.txt", files)
	return errors.Join(unread, unlisted)
}
