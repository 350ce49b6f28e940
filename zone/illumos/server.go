package illumos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// ServerFailed implements zone.Manager. SMF reports a service online as soon as its
// start method has returned, and puts it into maintenance after its processes have
// exited repeatedly (svc.startd(8)). A service that is not online, is not being
// started and has no process in its contract has no server either: it was disabled,
// for example, or waits for a dependency.
func (m *Manager) ServerFailed(ctx context.Context, name string) (why string, err error) {
	err = m.ours(name)
	if err == nil {
		why, err = m.serverFailed(ctx, name)
	}
	if err != nil {
		return "", fmt.Errorf("check server of zone %s: %w", name, err)
	}
	return why, nil
}

func (m *Manager) serverFailed(ctx context.Context, name string) (why string, err error) {
	i, err := m.look(ctx, name)
	switch {
	case err != nil:
		return "", err
	case i.State == zone.Unknown:
		return "", errors.New("the zone's state is unknown")
	case i.State != zone.Running:
		return "", nil
	}
	s, err := m.service(ctx, name)
	if err == nil && s.idle() && s.Next != "-" {
		// It is being started: its processes may not exist yet.
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		s, err = m.service(ctx, name)
	}
	switch {
	case err != nil:
		return "", err
	case s.State == "maintenance":
		return m.inMaintenance(ctx, name, m.cfg.Service), nil
	case s.idle():
		return fmt.Sprintf("%s is %s and has no process: %s", m.cfg.Service, s.State, m.diagnose(ctx, name)), nil
	}
	return "", nil
}

// settleTime is how long a service that is being started may be without a process.
const settleTime = time.Second

// serviceView is the state of the server's service at one moment.
type serviceView struct{ parse.ServiceView }

// idle reports whether the service is not online and has no process.
func (s serviceView) idle() bool {
	return (s.State == "offline" || s.State == "disabled") && s.Processes == 0
}

func (m *Manager) service(ctx context.Context, name string) (serviceView, error) {
	argv := []string{"svcs", "-z", name, "-p", "-H", "-o", "state,nstate", m.cfg.Service}
	out, warned, err := m.commands.Outputs(ctx, command.Call{Argv: argv, For: name, Budget: quickBudget})
	if err != nil {
		return serviceView{}, err
	}
	s, ok := parse.Service(out)
	if !ok || warned != "" {
		return serviceView{}, &command.Error{Argv: argv, Stderr: warned, Err: fmt.Errorf("it printed %q", plain.Line(string(out), 200))}
	}
	return serviceView{s}, nil
}
