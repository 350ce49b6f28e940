package illumos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// readers is how many configurations are read at a time, when an agent that has
// just started needs to know what the zones it finds have claimed.
const readers = 8

// claims knows which zone's configuration names which datalinks. A link that
// was claimed may not exist yet, or no longer, so the host's links alone do not
// tell which names are free.
//
// What other agents' zones claim is not known. They have links of other names,
// or those exist.
type claims struct {
	// loading holds one token; whoever has it reads configurations.
	loading chan struct{}

	// mu guards the maps; it is never held over I/O.
	mu    sync.Mutex
	zones map[string][]string // by zone; the links in the order of its configuration
	// made are those of them that this manager has made, or tried to.
	made map[string][]string
	// foreign are names that were free and turned out not to be.
	foreign map[string]bool
}

func (c *claims) init() {
	c.loading = make(chan struct{}, 1)
	c.zones, c.made = make(map[string][]string), make(map[string][]string)
	c.foreign = make(map[string]bool)
}

// choose claims links for a zone, one of each base: the lowest numbers that
// neither exist nor are claimed.
func (c *claims) choose(name string, existing []string, bases []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := maps.Clone(c.foreign)
	for _, link := range existing {
		taken[link] = true
	}
	for _, links := range c.zones {
		for _, link := range links {
			taken[link] = true
		}
	}
	var chosen []string
	next := make(map[string]int)
	for _, base := range bases {
		link := base + strconv.Itoa(next[base])
		for taken[link] {
			next[base]++
			link = base + strconv.Itoa(next[base])
		}
		taken[link] = true
		chosen = append(chosen, link)
	}
	c.zones[name] = chosen
	return chosen
}

func (c *claims) setForeign(link string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foreign[link] = true
}

// note records what a zone's configuration was read to claim, unless more is
// known of the zone.
func (c *claims) note(name string, links []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.zones[name]; !known {
		c.zones[name] = links
	}
}

func (c *claims) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.zones, name)
	delete(c.made, name)
}

func (c *claims) setMade(name, link string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[name] = append(c.made[name], link)
}

func (c *claims) madeFor(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.made[name])
}

// spared tells whether a link that a zone's configuration names is another's:
// made by somebody else meanwhile, or claimed by another zone too, which happens
// only if a configuration could not be read in time.
func (c *claims) spared(name, link string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.foreign[link] {
		return true
	}
	for other, links := range c.zones {
		if other != name && slices.Contains(links, link) {
			return true
		}
	}
	return false
}

func (c *claims) known(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.zones[name]
	return known
}

// loadClaims reads what the agent's zones claim, as far as it is not known:
// those that an earlier agent has made. A configuration that cannot be read is
// passed over, so that one bad zone does not keep others from being made.
func (m *Manager) loadClaims(ctx context.Context, l listing) error {
	select {
	case m.claims.loading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for configurations to be read: %w", context.Cause(ctx))
	}
	defer func() { <-m.claims.loading }()
	var group errgroup.Group
	group.SetLimit(readers)
	for name := range l.zones {
		if m.ours(name) != nil || m.claims.known(name) {
			continue
		}
		group.Go(func() error {
			return m.loadClaim(ctx, name)
		})
	}
	return group.Wait()
}

func (m *Manager) loadClaim(ctx context.Context, name string) error {
	reading, cancel := context.WithTimeout(ctx, readBudget)
	defer cancel()
	cfg, err := m.export(reading, name)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case command.Said(err, "no such zone"):
		return nil // it was deleted since it was listed
	case err != nil:
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("cannot read which datalinks a zone has")
	}
	m.claims.note(name, cfg.Links)
	return nil
}

// export reads a zone's configuration. "info" would be for people.
func (m *Manager) export(ctx context.Context, name string) (parse.ZoneConfig, error) {
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"zonecfg", "-z", name, "export"}, For: name, Budget: quickBudget})
	if err != nil {
		return parse.ZoneConfig{}, err
	}
	return parse.Export(out), nil
}

// unmakeLinks removes those of a zone's links that are named as Create names
// them. A link that is still busy is an error; the rest is removed all the same.
func (m *Manager) unmakeLinks(ctx context.Context, name string, links []string) error {
	var first error
	for _, link := range links {
		if m.claims.spared(name, link) {
			continue // it goes with the zone that really has it
		}
		if err := m.unmakeLink(ctx, name, link); err != nil && first == nil {
			first = fmt.Errorf("remove datalink %s: %w", link, err)
		}
	}
	return first
}

func (m *Manager) unmakeLink(ctx context.Context, owner, link string) error {
	switch {
	case named(link, m.control.Base()):
		return m.control.Remove(ctx, owner, link)
	case named(link, m.ports.Base()):
		return m.ports.Remove(ctx, owner, link)
	}
	return nil // somebody else's, such as a physical link passed to the zone
}

// makeLink makes the i-th of a zone's links, of which the first is the control
// link and the others are the guest's NICs in order.
func (m *Manager) makeLink(ctx context.Context, spec zone.Spec, i int, link string) error {
	m.claims.setMade(spec.Name, link)
	if i == 0 {
		return m.control.Make(ctx, spec.Name, link, zone.NIC{MTU: controlMTU})
	}
	return m.ports.Make(ctx, spec.Name, link, spec.NICs[i-1])
}
