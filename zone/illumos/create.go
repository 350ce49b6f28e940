package illumos

import (
	"context"
	"errors"
	"fmt"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// linkTries is how often Create chooses other names for links after one of them
// turned out to be somebody else's.
const linkTries = 4

// Create implements zone.Manager. The configuration comes first, since it names
// all that is made after it.
func (m *Manager) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	var made zone.Made
	if err := m.ours(spec.Name); err != nil {
		return made, fmt.Errorf("create zone: %w", err)
	}
	err := m.turns.start(ctx, spec.Name, func(ctx context.Context) (err error) {
		made, err = m.create(ctx, spec)
		return err
	})
	if err != nil {
		return zone.Made{}, fmt.Errorf("create zone %s: %w", spec.Name, err)
	}
	return made, nil
}

func (m *Manager) create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	if err := checkDevices(spec.Devices); err != nil {
		return zone.Made{}, err
	}
	l, err := m.zones.get(ctx)
	if err != nil {
		return zone.Made{}, err
	}
	if i, err := l.look(spec.Name); err != nil {
		return zone.Made{}, err
	} else if i.State != zone.Absent {
		return zone.Made{}, fmt.Errorf("%w, %v", zone.ErrExists, i.State)
	}
	// Brands do not install over files (helios-omicron-brand).
	if path := m.zonePath(spec.Name); !gone(path) {
		return zone.Made{}, fmt.Errorf("%w, at least its zonepath %s", zone.ErrExists, path)
	}
	gateway, err := m.gateway(ctx, spec.Addr.Addr())
	if err != nil {
		return zone.Made{}, err
	}
	if err := m.loadClaims(ctx, l); err != nil {
		return zone.Made{}, err
	}
	links, err := m.configureWithLinks(ctx, spec)
	if err != nil {
		return zone.Made{}, err
	}
	if err := m.install(ctx, spec.Name); err != nil {
		return zone.Made{}, err
	}
	if err := m.writeProfile(spec.Name, m.profile(spec.Addr, links[0], gateway)); err != nil {
		return zone.Made{}, err
	}
	made := zone.Made{Links: make(map[string]string, len(spec.NICs))}
	for i, nic := range spec.NICs {
		made.Links[nic.ID] = links[i+1]
	}
	return made, nil
}

// configureWithLinks makes the configuration and the links that it names. If
// one of them is there by now, it begins again with other names, having deleted
// the links before the configuration that tells of them.
func (m *Manager) configureWithLinks(ctx context.Context, spec zone.Spec) ([]string, error) {
	var err error
	for range linkTries {
		var links []string
		if links, err = m.chooseLinks(ctx, spec); err != nil {
			return nil, err
		}
		if err = m.configure(ctx, spec.Name, m.script(spec.Name, spec.Devices, links)); err != nil {
			return nil, err
		}
		var made int
		if made, err = m.makeLinks(ctx, spec, links); err == nil {
			return links, nil
		}
		if !LinkExists(err) {
			return nil, err
		}
		m.claims.setForeign(links[made])
		if err := m.unmakeLinks(ctx, spec.Name, links[:made]); err != nil {
			return nil, err
		}
		if err := m.unconfigure(ctx, spec.Name); err != nil {
			return nil, err
		}
		m.claims.forget(spec.Name)
	}
	return nil, err
}

func (m *Manager) chooseLinks(ctx context.Context, spec zone.Spec) ([]string, error) {
	bases := []string{m.control.Base()}
	for range spec.NICs {
		bases = append(bases, m.ports.Base())
	}
	existing, err := m.control.Names(ctx)
	if err != nil {
		return nil, err
	}
	if len(spec.NICs) > 0 && m.cfg.Ports != nil {
		ports, err := m.ports.Names(ctx)
		if err != nil {
			return nil, err
		}
		existing = append(existing, ports...)
	}
	return m.claims.choose(spec.Name, existing, bases), nil
}

// makeLinks returns how many of the links it has made.
func (m *Manager) makeLinks(ctx context.Context, spec zone.Spec, links []string) (int, error) {
	for i, link := range links {
		if err := m.makeLink(ctx, spec, i, link); err != nil {
			return i, fmt.Errorf("make datalink %s: %w", link, err)
		}
	}
	return len(links), nil
}

// install gives a configured zone its files. The words after "install" are the
// brand's. What counts is the state: zoneadm sets it to installed as its last
// deed, or to incomplete or configured, as the brand's hook asks for (illumos
// zoneadm.c).
func (m *Manager) install(ctx context.Context, name string) error {
	argv := append([]string{"zoneadm", "-z", name, "install"}, m.cfg.Image...)
	failed := m.commands.Run(ctx, command.Call{Argv: argv, For: name, Budget: installBudget})
	i, err := m.lookAfter(ctx, name)
	if err != nil {
		return errors.Join(failed, err)
	}
	if i.State != zone.Installed {
		return errors.Join(failed, fmt.Errorf("after zoneadm install it is %v", i.State))
	}
	return nil
}
