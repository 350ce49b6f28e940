package illumos

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
)

// linkTries is how often Create tries new link names when one is already taken.
const linkTries = 4

// Create implements zone.Manager. It writes the configuration first: a later
// removal finds in it everything that is created afterwards.
func (m *Manager) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	var made zone.Made
	err := m.start(ctx, "create", spec.Name, func(ctx context.Context) (err error) {
		made, err = m.create(ctx, spec)
		return err
	})
	return made, err
}

// start calls do with the zone's lock held; a removal cancels do's context.
func (m *Manager) start(ctx context.Context, verb, name string, do func(context.Context) error) error {
	err := m.ours(name)
	if err == nil {
		err = m.locks.Start(ctx, name, do)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, zonelock.ErrRemoved) && isShortage(err) {
		err = fmt.Errorf("%w: %w", zone.ErrBusy, err)
	}
	if err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	return nil
}

// shortageTexts are the messages of commands for a lack of resources (strerror of
// illumos and other systems), and of shells that cannot fork. On illumos, ENOMEM is
// "Not enough space".
var shortageTexts = []string{"resource temporarily unavailable", "not enough space", "cannot allocate memory",
	"out of memory", "not enough memory", "no swap space", "too many open files", "too many processes",
	"file table overflow", "no buffer space", "fork failed", "could not fork", "cannot fork", "unable to fork", "can't fork",
	"fork: retry"}

// isShortage reports whether an error means a temporary lack of resources.
func isShortage(err error) bool { return zone.IsShortage(err) || command.Said(err, shortageTexts...) }

func (m *Manager) create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	if err := checkDevices(spec.Devices); err != nil {
		return zone.Made{}, err
	}
	m.facts.change(spec.Name, func(f *fact) { f.listed = "" })
	i, err := m.lookRetrying(ctx, spec.Name)
	if err != nil {
		return zone.Made{}, err
	}
	if i.State != zone.Absent {
		return zone.Made{}, fmt.Errorf("%w, %v", zone.ErrExists, i.State)
	}
	// Brands do not install over existing files (helios-omicron-brand).
	if path := m.zonePath(spec.Name); !notExist(path) {
		return zone.Made{}, fmt.Errorf("%w, at least its zonepath %s", zone.ErrExists, path)
	}
	links, err := m.vnics.links(ctx)
	if err != nil {
		return zone.Made{}, err
	}
	if err := m.checkLink(links); err != nil {
		return zone.Made{}, err
	}
	gateway, err := m.gateway(ctx, links, spec.Addr.Addr())
	if err != nil {
		return zone.Made{}, err
	}
	if err := m.loadLinks(ctx); err != nil {
		return zone.Made{}, err
	}
	made, err := m.configureWithLinks(ctx, spec)
	if err != nil {
		return zone.Made{}, err
	}
	if err := m.install(ctx, spec.Name); err != nil {
		return zone.Made{}, err
	}
	if err := m.writeProfile(spec.Name, m.profile(spec.Addr, made[0], gateway)); err != nil {
		return zone.Made{}, err
	}
	nics := make(map[string]string, len(spec.NICs))
	for i, nic := range spec.NICs {
		nics[nic.ID] = made[i+1]
	}
	return zone.Made{Links: nics, Datalinks: made, Path: m.zonePath(spec.Name)}, nil
}

// configureWithLinks writes the configuration and creates the links that it names.
// If a link's name is taken meanwhile, it deletes the links and then the
// configuration, and starts over with other names.
func (m *Manager) configureWithLinks(ctx context.Context, spec zone.Spec) ([]string, error) {
	var err error
	for range linkTries {
		var links []string
		if links, err = m.chooseLinks(ctx, spec); err != nil {
			return nil, err
		}
		mark := uuid.NewString()
		if err = m.configure(ctx, spec.Name, m.script(spec.Name, mark, spec.Devices, links), mark); err != nil {
			return nil, err
		}
		var made int
		if made, err = m.makeLinks(ctx, spec, links); err == nil {
			return links, nil
		}
		if !errors.Is(err, errLinkExists) {
			return nil, err
		}
		m.facts.setForeign(links[made])
		if err := m.unmakeLinks(ctx, spec.Name, links[:made]); err != nil {
			return nil, err
		}
		if err := m.unconfigure(ctx, spec.Name); err != nil {
			return nil, err
		}
		m.facts.change(spec.Name, (*fact).forgetLinks)
	}
	return nil, err
}

func (m *Manager) chooseLinks(ctx context.Context, spec zone.Spec) ([]string, error) {
	existing, err := m.vnics.names(ctx)
	if err != nil {
		return nil, err
	}
	bases := append([]string{controlBase}, slices.Repeat([]string{guestBase}, len(spec.NICs))...)
	return m.facts.choose(spec.Name, existing, bases), nil
}

// makeLinks returns the number of links that it created.
func (m *Manager) makeLinks(ctx context.Context, spec zone.Spec, links []string) (int, error) {
	for i, link := range links {
		if err := m.makeLink(ctx, spec, i, link); err != nil {
			return i, fmt.Errorf("create datalink %s: %w", link, err)
		}
	}
	return len(links), nil
}

// install installs a configured zone. The arguments after "install" are the
// brand's. Only the state counts: zoneadm sets it last, to installed, or to
// incomplete or configured if the brand's hook fails (illumos zoneadm.c).
func (m *Manager) install(ctx context.Context, name string) error {
	argv := append([]string{"zoneadm", "-z", name, "install"}, m.cfg.Image...)
	failed := m.commands.Run(ctx, command.Call{Argv: argv, For: name, Budget: installBudget})
	if ctx.Err() != nil {
		return errors.Join(failed, context.Cause(ctx))
	}
	i, err := m.lookRetrying(ctx, name)
	if err != nil {
		return errors.Join(failed, err)
	}
	if command.Said(failed, "gzonly.txt") {
		failed = fmt.Errorf("%s may not be online: %w", baseline, failed)
	}
	if i.State != zone.Installed {
		return errors.Join(failed, fmt.Errorf("after zoneadm install it is %v", i.State))
	}
	return nil
}
