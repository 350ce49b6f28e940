package illumos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// singleUser is the milestone before which a zone's services are still being
// imported, the server's among them.
const singleUser = "svc:/milestone/single-user:default"

// How often a service that is waited for is looked at: a zone takes seconds to
// come up.
const (
	serviceFirst = 100 * time.Millisecond
	serviceMost  = time.Second
)

// Boot implements zone.Manager. It waits until SMF says that the server's
// service is online: with its start method done, not with HTTP served.
func (m *Manager) Boot(ctx context.Context, name string) error {
	err := m.ours(name)
	if err == nil {
		err = m.turns.start(ctx, name, func(ctx context.Context) error { return m.boot(ctx, name) })
	}
	if err != nil {
		return fmt.Errorf("boot zone %s: %w", name, err)
	}
	return nil
}

func (m *Manager) boot(ctx context.Context, name string) error {
	i, err := m.look(ctx, name)
	if err != nil {
		return err
	}
	if i.State != zone.Installed {
		return fmt.Errorf("%w, it is %v", zone.ErrNotInstalled, i.State)
	}
	// The boot goes on in zoneadmd, whatever becomes of its client.
	bootErr := m.commands.Run(ctx, command.Call{Argv: []string{"zoneadm", "-z", name, "boot"},
		For: name, Budget: bootBudget, Leave: true})
	if ctx.Err() != nil {
		return errors.Join(bootErr, context.Cause(ctx))
	}
	// zoneadm exits with 0 from a boot of a zone that is shutting down or down,
	// having booted nothing (illumos zoneadmd.c), so the state is what counts.
	if i, err = m.look(ctx, name); err != nil {
		return errors.Join(bootErr, err)
	}
	if i.State != zone.Running {
		return errors.Join(bootErr, fmt.Errorf("after zoneadm boot it is %v", i.State))
	}
	for _, service := range []string{singleUser, m.cfg.Service} {
		if err := m.awaitService(ctx, i, service); err != nil {
			return err
		}
	}
	return nil
}

// awaitService waits until a service of a zone is online. In maintenance it
// would stay for good (svcs(1)), so that ends the wait.
func (m *Manager) awaitService(ctx context.Context, booted zone.Info, service string) error {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(serviceFirst),
		backoff.WithMaxInterval(serviceMost), backoff.WithMaxElapsedTime(0))
	state := "unknown"
	for {
		now, err := m.serviceState(ctx, booted, service)
		if err != nil {
			return fmt.Errorf("wait for %s, which was %s: %w", service, state, err)
		}
		state = now
		switch state {
		case "online", "degraded":
			return nil
		case "maintenance":
			return errors.Join(errors.New(m.inMaintenance(ctx, booted.Name, service)), context.Cause(ctx))
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return fmt.Errorf("wait for %s, which is %s: %w", service, state, context.Cause(ctx))
		}
	}
}

// inMaintenance says that a service is, and why.
func (m *Manager) inMaintenance(ctx context.Context, name, service string) string {
	return service + " is in maintenance: " + m.whyNot(ctx, name)
}

// ServerFailed implements zone.Manager. SMF calls a service online as soon as its start
// method is done; one whose processes end again and again goes to maintenance
// only later (svc.startd(8)).
func (m *Manager) ServerFailed(ctx context.Context, name string) (why string, err error) {
	if err := m.ours(name); err != nil {
		return "", fmt.Errorf("ask after the server: %w", err)
	}
	i, err := m.look(ctx, name)
	if err != nil || i.State != zone.Running {
		return "", err
	}
	state, err := m.serviceState(ctx, i, m.cfg.Service)
	if err != nil {
		return "", fmt.Errorf("ask after the server of zone %s: %w", name, err)
	}
	if state != "maintenance" {
		return "", nil
	}
	return m.inMaintenance(ctx, name, m.cfg.Service), nil
}

// serviceState is a service's state, or why there will be none. That the zone's
// repository does not answer is none while the zone boots. That the booted zone
// has no incarnation is because zoneadm list reads ids before states.
func (m *Manager) serviceState(ctx context.Context, booted zone.Info, service string) (string, error) {
	argv := []string{"svcprop", "-z", booted.Name, "-p", "restarter/state", service}
	out, err := m.commands.Output(ctx, command.Call{Argv: argv, For: booted.Name, Budget: quickBudget})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if state := parse.ServiceState(out); err == nil && state != "" {
		return state, nil
	}
	i, lookErr := m.look(ctx, booted.Name)
	switch {
	case lookErr != nil:
		return "", lookErr
	case i.State != zone.Running:
		return "", fmt.Errorf("the zone is %v by now", i.State)
	case booted.Incarnation != "" && i.Incarnation != booted.Incarnation:
		return "", errors.New("the zone has rebooted")
	}
	return "not known to SMF", nil
}

const (
	// whyBudget bounds how long a failed start asks for its reason.
	whyBudget = 5 * time.Second
	whySize   = 2048
)

// whyNot says why services of a zone do not run: what SMF says, and the end of
// the server's log.
func (m *Manager) whyNot(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, whyBudget)
	defer cancel()
	said := "svcs: "
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"svcs", "-xv", "-z", name}, For: name})
	if err != nil {
		said += err.Error()
	} else {
		said += oneLine(out, whySize)
	}
	log, err := m.tail(name, whySize)
	if err != nil {
		return said + "; no log: " + err.Error()
	}
	return said + "; its log: " + oneLine(log, whySize)
}

// oneLine makes one line of at most max bytes of what a command printed.
func oneLine(text []byte, max int) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), max)]), "?")), " ")
}
