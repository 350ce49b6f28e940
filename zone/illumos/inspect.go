package illumos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
)

var _ zone.Inspector = (*Manager)(nil)

// serverName matches the names of Propolis servers' processes.
const serverName = "propolis"

// Processes implements zone.Inspector. The server comes first, since a zone has some thirty
// processes of its services.
func (m *Manager) Processes(ctx context.Context, name string, most int) ([]int, error) {
	if err := m.ours(name); err != nil {
		return nil, err
	}
	servers, err := m.pgrep(ctx, name, serverName)
	if err != nil {
		return nil, err
	}
	all, err := m.pgrep(ctx, name)
	if err != nil {
		return nil, err
	}
	pids := servers
	for _, pid := range all {
		if !slices.Contains(servers, pid) {
			pids = append(pids, pid)
		}
	}
	return pids[:min(len(pids), most)], nil
}

// pgrep lists processes of a zone. One that hangs is counted apart from those of the zone's
// removal, so that it delays none of them.
func (m *Manager) pgrep(ctx context.Context, name string, pattern ...string) (pids []int, err error) {
	out, err := m.commands.Output(ctx, command.Call{Argv: append([]string{"pgrep", "-z", name}, pattern...),
		For: "evidence of " + name, Budget: readBudget})
	if err != nil && command.Exit(err) != 1 { // 1: no process matches
		return nil, fmt.Errorf("list processes of zone %s: %w", name, err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		pid, err := strconv.Atoi(word)
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("list processes of zone %s: pgrep printed %q", name, plain.Line(word, 40))
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Inspect implements zone.Inspector. It keeps nothing: what there is to know is printed by
// the host's commands (pstack, pfiles, ptree), which are configured.
func (m *Manager) Inspect(context.Context, []int, func(string, []byte)) error { return nil }
