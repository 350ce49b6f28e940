package illumos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// singleUser is the milestone that a zone reaches after it has imported its
// services, including the server's.
const singleUser = "svc:/milestone/single-user:default"

// First and longest pause between two looks at a service: a zone takes seconds to
// boot.
const (
	serviceFirst = 100 * time.Millisecond
	serviceMost  = time.Second
)

// Boot implements zone.Manager. It waits until SMF reports the server's service
// online. Then its start method has returned; it may not serve HTTP yet.
func (m *Manager) Boot(ctx context.Context, name string) error {
	return m.start(ctx, "boot", name, func(ctx context.Context) error { return m.boot(ctx, name) })
}

func (m *Manager) boot(ctx context.Context, name string) error {
	i, err := m.lookRetrying(ctx, name)
	if err != nil {
		return err
	}
	if i.State != zone.Installed {
		return fmt.Errorf("%w, it is %v", zone.ErrNotInstalled, i.State)
	}
	// The boot continues in zoneadmd even if its client ends.
	bootErr := m.commands.Run(ctx, command.Call{Argv: []string{"zoneadm", "-z", name, "boot"},
		For: name, Budget: bootBudget, Leave: true})
	if ctx.Err() != nil {
		return errors.Join(bootErr, context.Cause(ctx))
	}
	// zoneadm boot of a zone that is shutting down or down does nothing and exits
	// with 0 (illumos zoneadmd.c), so only the state counts.
	if i, err = m.lookRetrying(ctx, name); err != nil {
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

// awaitService waits until a service of a zone is online. Maintenance ends the
// wait: only an administrator can clear it (svcs(1)).
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

// inMaintenance returns the text for a service in maintenance, with the reason.
func (m *Manager) inMaintenance(ctx context.Context, name, service string) string {
	return service + " is in maintenance: " + m.diagnose(ctx, name)
}

// serviceState returns a service's state, or an error if the zone no longer runs
// or has rebooted. A repository that does not answer is no error while the zone
// boots. booted may lack an incarnation: zoneadm list reads ids before states.
func (m *Manager) serviceState(ctx context.Context, booted zone.Info, service string) (string, error) {
	argv := []string{"svcprop", "-z", booted.Name, "-p", "restarter/state", service}
	out, err := m.commands.Output(ctx, command.Call{Argv: argv, For: booted.Name, Budget: quickBudget})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if state := parse.ServiceState(out); err == nil && state != "" {
		return state, nil
	}
	i, lookErr := m.lookRetrying(ctx, booted.Name)
	switch {
	case lookErr != nil:
		return "", lookErr
	case i.State != zone.Running:
		return "", fmt.Errorf("the zone became %v", i.State)
	case booted.Incarnation != "" && i.Incarnation != booted.Incarnation:
		return "", errors.New("the zone has rebooted")
	}
	return "not known to SMF", nil
}

const (
	diagnoseBudget = 5 * time.Second
	diagnoseSize   = 2048 // bytes of each source
)

// diagnose returns why services of a zone do not run: the output of svcs -xv, and
// the end of the server's log.
func (m *Manager) diagnose(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, diagnoseBudget)
	defer cancel()
	text := "svcs: "
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"svcs", "-xv", "-z", name}, For: name})
	if err != nil {
		text += err.Error()
	} else {
		text += plain.Line(string(out), diagnoseSize)
	}
	log, err := m.tail(name, diagnoseSize)
	if err != nil {
		return text + "; no log: " + err.Error()
	}
	return text + "; its log: " + plain.Line(string(log), diagnoseSize)
}
