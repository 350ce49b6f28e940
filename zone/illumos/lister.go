package illumos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/flight"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

const (
	// listBudget is more than a list of thousands of zones takes.
	listBudget = 20 * time.Second
	// listPatience and maxLists: see flight.Group.
	listPatience = 2 * time.Second
	maxLists     = 3
	// hintAge is the greatest age of a listing that hint returns.
	hintAge = time.Minute
)

// A listing is the result of one run of zoneadm list.
type listing struct {
	begun time.Time
	zones map[string]parse.Zone
	// twice are names with several lines that differ.
	twice map[string]bool
	// garbage are unparseable lines of standard output, and all lines of standard
	// error. If there are any, zones may be missing.
	garbage []string
}

// lister shares one run of zoneadm list among concurrent callers, and keeps the
// last result that succeeded.
type lister struct {
	flight.Group[listing]

	mu   sync.Mutex
	last listing
}

func newLister(run func() (listing, error)) *lister {
	l := &lister{Group: flight.Group[listing]{Patience: listPatience, Most: maxLists}}
	l.Do = func() (listing, error) {
		begun := time.Now()
		now, err := run()
		if err != nil {
			return listing{}, err
		}
		now.begun = begun
		l.mu.Lock()
		defer l.mu.Unlock()
		if begun.After(l.last.begun) {
			l.last = now
		}
		return now, nil
	}
	return l
}

// hint returns the current listing. If that fails, it returns the error together
// with the last listing if that is not older than hintAge. An old listing proves
// nothing.
func (l *lister) hint(ctx context.Context) (listing, error) {
	now, err := l.Get(ctx)
	if err == nil || ctx.Err() != nil {
		return now, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last.begun) > hintAge {
		return listing{}, err
	}
	return l.last, err
}

// listZones runs zoneadm list -cip: all zones, also configured and incomplete ones,
// in parseable form. It does not use -z NAME, which has the brand verify the zone's
// configuration: that is slower and can fail (illumos zoneadm.c).
func (m *Manager) listZones() (listing, error) {
	out, warned, err := m.commands.Outputs(m.ctx, command.Call{Argv: []string{"zoneadm", "list", "-cip"}, Budget: m.listBudget})
	if err != nil {
		return listing{}, err
	}
	l, err := readListing(out, warned)
	if err == nil {
		m.warnOfGarbage(l.garbage)
	}
	return l, err
}

// warnOfGarbage logs unparseable lines, unless the listing before had the same.
func (m *Manager) warnOfGarbage(lines []string) {
	text := strings.Join(lines, "\n")
	if old := m.garbage.Swap(&text); len(lines) == 0 || old != nil && *old == text {
		return
	}
	m.cfg.Log.Warn().Strs("lines", lines[:min(3, len(lines))]).Int("count", len(lines)).
		Msg("zoneadm list is incomplete or has unparseable lines")
}

// readListing parses what zoneadm list printed on its two streams. zoneadm omits a
// zone that it cannot read, prints a line on standard error at most, and exits with
// 0 (illumos zoneadm.c).
func readListing(out []byte, warned string) (listing, error) {
	if !bytes.HasSuffix(out, []byte("\n")) {
		return listing{}, errors.New("zoneadm list -cip: output is truncated")
	}
	zones, garbage := parse.Zones(out)
	l := listing{zones: make(map[string]parse.Zone, len(zones)), twice: make(map[string]bool), garbage: garbage}
	for line := range strings.Lines(warned) {
		l.garbage = append(l.garbage, strings.TrimSpace(line))
	}
	for _, z := range zones {
		if other, known := l.zones[z.Name]; known && other != z {
			l.twice[z.Name] = true
		}
		l.zones[z.Name] = z
	}
	if _, ok := l.zones[parse.GlobalZone]; !ok {
		// The global zone always exists. A list without it may lack any other zone.
		return listing{}, errors.New("zoneadm list -cip: output has no line for the global zone")
	}
	return l, nil
}

// find finds a zone in a listing. An unlisted zone may still exist; see
// Manager.resolve.
func (l listing) find(name string) (i zone.Info, listed bool, err error) {
	if l.twice[name] {
		return zone.Info{}, false, errors.New("zoneadm list -cip: it lists the zone twice, differently")
	}
	if z, ok := l.zones[name]; ok {
		if z.ID >= 0 && !active(z.State) {
			// The zone was halted while the list was read, or one of the two is wrong.
			return zone.Info{}, false, fmt.Errorf("zoneadm list -cip: it lists the zone as %v with the id %d", z.State, z.ID)
		}
		return info(z), true, nil
	}
	for _, line := range l.garbage {
		if strings.Contains(line, name) {
			return zone.Info{}, false, fmt.Errorf("zoneadm list -cip: it does not list the zone, and printed %q", line)
		}
	}
	return zone.Info{}, false, nil
}

// complete returns an error if zones may be missing from the listing.
func (l listing) complete() error {
	if len(l.garbage) == 0 {
		return nil
	}
	return fmt.Errorf("zoneadm list -cip: it may lack zones: it printed %q", l.garbage[0])
}

// info converts a line of zoneadm list.
//
// The incarnation is the kernel's zone id, which is new at each boot and reboot of
// the zone. Ids are assigned in turn up to 9999 (illumos zone.c), so an id repeats
// after ten thousand zone boots. It also repeats after a boot of the host, which
// the caller must detect by other means.
func info(z parse.Zone) zone.Info {
	i := zone.Info{Name: z.Name, State: z.State}
	if z.ID >= 0 {
		i.Incarnation = fmt.Sprintf("zid-%d", z.ID)
	}
	return i
}
