package illumos

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/zone"
)

// A fact is what the manager remembers about one zone.
type fact struct {
	// links are the datalinks that the zone's configuration names, in its order, if
	// linksKnown. They may not exist yet or any more, so their names are not free
	// even if the host does not list them.
	links      []string
	linksKnown bool
	// made are the links that this manager has created or tried to create, and
	// those that an earlier agent has recorded.
	made []string
	// recalled reports whether Recall was called. recorded is the zonepath that it
	// gave; listed is the zonepath that zoneadm list printed.
	recalled         bool
	recorded, listed string
	// foreign reports whether another program created the zone while Create ran.
	foreign bool
}

func (f *fact) empty() bool {
	return !f.linksKnown && len(f.made) == 0 && !f.recalled && !f.foreign && f.listed == ""
}

func (f *fact) forgetLinks() { f.links, f.linksKnown, f.made = nil, false, nil }

// facts holds the facts of the agent's zones. Links of other agents' zones need
// none: they have other names, or exist and are listed.
type facts struct {
	mu    sync.Mutex // never held over I/O
	zones map[string]*fact
	// foreignLinks are links that another program created after their names had
	// been chosen.
	foreignLinks map[string]bool
}

func newFacts() *facts {
	return &facts{zones: make(map[string]*fact), foreignLinks: make(map[string]bool)}
}

// of returns a copy of a zone's fact. The caller owns its slices.
func (fs *facts) of(name string) fact {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.zones[name]; f != nil {
		copied := *f
		copied.links, copied.made = slices.Clone(f.links), slices.Clone(f.made)
		return copied
	}
	return fact{}
}

// change calls do with a zone's fact, under the lock.
func (fs *facts) change(name string, do func(*fact)) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.zones[name]
	if f == nil {
		f = new(fact)
		fs.zones[name] = f
	}
	if do(f); f.empty() {
		delete(fs.zones, name)
	}
}

// choose reserves link names for a zone, one for each base: those with the lowest
// numbers that neither exist nor belong to another zone's configuration.
func (fs *facts) choose(name string, existing []string, bases []string) []string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	taken := maps.Clone(fs.foreignLinks)
	for _, f := range fs.zones {
		existing = append(existing, f.links...)
	}
	for _, link := range existing {
		taken[link] = true
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
	f := fs.zones[name]
	if f == nil {
		f = new(fact)
		fs.zones[name] = f
	}
	f.links, f.linksKnown = chosen, true
	return chosen
}

// noteLinks records the links read from a zone's configuration, unless its links
// are known already.
func (fs *facts) noteLinks(name string, links []string) {
	fs.change(name, func(f *fact) {
		if !f.linksKnown {
			f.links, f.linksKnown = links, true
		}
	})
}

func (fs *facts) setForeign(link string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.foreignLinks[link] = true
}

// ownedByOther reports whether a link in a zone's configuration was created by
// another program, or is in another zone's configuration as well. The latter
// happens only if a configuration could not be read before names were chosen.
func (fs *facts) ownedByOther(name, link string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for other, f := range fs.zones {
		if other != name && slices.Contains(f.links, link) {
			return true
		}
	}
	return fs.foreignLinks[link]
}

// Recall implements zone.Manager. The zone stays the agent's even after its
// release: its name contains the VMM's id, so no other agent uses it.
func (m *Manager) Recall(name string, made zone.Made) {
	if zone.ValidName(name) != nil {
		return
	}
	links := slices.Clone(made.Datalinks)
	for _, link := range made.Links {
		if !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	m.facts.change(name, func(f *fact) {
		f.recalled, f.linksKnown = true, true
		f.links, f.made = links, slices.Clone(links)
		if pathOf(made.Path, name) {
			f.recorded = made.Path
		}
	})
}

// pathOf reports whether Create can have chosen a path as the zone's zonepath. No
// other path is ever removed.
func pathOf(path, name string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && filepath.Base(path) == name && filepath.Dir(path) != "/"
}

// zonePath returns the zonepath that was recorded or listed for a zone, or the one
// that Create would choose.
func (m *Manager) zonePath(name string) string {
	f := m.facts.of(name)
	return cmp.Or(f.recorded, f.listed, filepath.Join(m.cfg.ZoneRoot, name))
}

// propolisID returns the zone's name without its prefix, which may differ from the
// prefix that is configured now. The kernel VM has this name.
func (m *Manager) propolisID(name string) string {
	const size = len("00000000-0000-0000-0000-000000000000")
	if len(name) >= size && uuid.Validate(name[len(name)-size:]) == nil {
		return name[len(name)-size:]
	}
	return strings.TrimPrefix(name, m.cfg.Prefix)
}
