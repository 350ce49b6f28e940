package illumos

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// readers is how many configurations loadLinks reads at a time.
const readers = 8

// loadLinks reads the links of the agent's zones that are not known yet: those of
// zones that an earlier agent created. It skips a configuration that cannot be
// read, so that one bad zone does not keep others from being created.
func (m *Manager) loadLinks(ctx context.Context) error {
	l, err := m.zones.hint(ctx)
	if l.zones == nil {
		return err
	}
	select {
	case m.loading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for configurations to be read: %w", context.Cause(ctx))
	}
	defer func() { <-m.loading }()
	var group errgroup.Group
	group.SetLimit(readers)
	for name := range l.zones {
		if m.ours(name) != nil || m.facts.of(name).linksKnown {
			continue
		}
		group.Go(func() error {
			return m.readLinks(ctx, name)
		})
	}
	return group.Wait()
}

func (m *Manager) readLinks(ctx context.Context, name string) error {
	reading, cancel := context.WithTimeout(ctx, readBudget)
	defer cancel()
	cfg, err := m.export(reading, name)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case command.Said(err, "no such zone"):
		return nil // it was deleted since it was listed
	case err != nil:
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("failed to read datalinks of zone")
	}
	m.facts.noteLinks(name, cfg.Links)
	return nil
}

// export reads a zone's configuration. The output of "zonecfg info" is not meant
// to be parsed.
func (m *Manager) export(ctx context.Context, name string) (parse.ZoneConfig, error) {
	argv := []string{"zonecfg", "-z", name, "export"}
	out, warned, err := m.commands.Outputs(ctx, command.Call{Argv: argv, For: name, Budget: quickBudget})
	if err != nil {
		return parse.ZoneConfig{}, err
	}
	cfg, whole := parse.Export(out)
	if !whole || warned != "" {
		// It may lack links, which no other record names.
		return parse.ZoneConfig{}, &command.Error{Argv: argv, Stderr: warned, Err: errors.New("output is not a complete configuration")}
	}
	return cfg, nil
}

// unmakeLinks removes those of a zone's links that have names as Create chooses
// them, or are known to have been created. A busy link is an error; the other links
// are removed all the same.
func (m *Manager) unmakeLinks(ctx context.Context, name string, links []string) error {
	var errs []error
	for _, link := range links {
		if m.facts.ownedByOther(name, link) {
			continue // its owner removes it
		}
		if err := m.unmakeLink(ctx, name, link); err != nil {
			errs = append(errs, fmt.Errorf("remove datalink %s: %w", link, err))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) unmakeLink(ctx context.Context, owner, link string) error {
	if ownLink.MatchString(link) || slices.Contains(m.facts.of(owner).made, link) {
		return m.vnics.remove(ctx, owner, link)
	}
	return nil // not the agent's, such as a physical link passed to the zone
}

// makeLink creates the i-th of a zone's links: 0 is the control link, and i is
// the guest's NIC i-1.
func (m *Manager) makeLink(ctx context.Context, spec zone.Spec, i int, link string) error {
	m.facts.change(spec.Name, func(f *fact) { f.made = append(f.made, link) })
	nic := zone.NIC{MTU: controlMTU}
	if i > 0 {
		nic = spec.NICs[i-1]
	}
	return m.vnics.make(ctx, spec.Name, link, nic)
}
