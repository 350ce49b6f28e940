package illumos

import (
	"context"
	"errors"

	"github.com/sledagent/sledagent/internal/command"
)

// Zoneadm runs "zoneadm list -cip" for people to read, and returns the command and what it
// printed on both streams, also if it exits with another code than 0. It is a run of its
// own: what the agent concludes from listings does not depend on it, and while one is left
// behind there is no further one.
func (m *Manager) Zoneadm(ctx context.Context) (name, printed string, exit int, err error) {
	call := command.Call{Argv: []string{"zoneadm", "list", "-cip"}, For: "support", Single: true}
	out, warned, err := m.commands.Outputs(ctx, call)
	if e, ok := errors.AsType[*command.Error](err); ok && e.Exit > 0 {
		return call.String(), e.Stderr, e.Exit, nil
	}
	return call.String(), string(out) + warned, 0, err
}
