package illumos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

const (
	// listBudget is more than a list of thousands of zones takes.
	listBudget = 20 * time.Second
	// listPatience is how long a list may take before the next begins without
	// waiting for its end, so that one that hangs does not use up its callers'
	// budgets. maxLists bounds how many run then.
	listPatience = 2 * time.Second
	maxLists     = 3
)

// A listing is what zoneadm list said once.
type listing struct {
	zones   map[string]parse.Zone
	garbage []string
}

// lister lets all who look at a time share one run of zoneadm list. A caller
// is given what a run says that began after its call, never an older one, so
// however many look, a run ahead and one behind serve them all.
type lister struct {
	run func() (listing, error)

	mu      sync.Mutex
	running int
	next    *flight // gathers callers and has not begun; nil while nobody waits
}

// A flight is one run and whoever waits for it. Its results are there once done
// is closed.
type flight struct {
	done chan struct{}
	list listing
	err  error
}

// get returns what is listed now.
func (l *lister) get(ctx context.Context) (listing, error) {
	if ctx.Err() != nil {
		return listing{}, context.Cause(ctx)
	}
	f := l.join()
	select {
	case <-f.done:
		return f.list, f.err
	case <-ctx.Done():
		return listing{}, fmt.Errorf("wait for zoneadm list: %w", context.Cause(ctx))
	}
}

func (l *lister) join() *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.next; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	l.next = f
	if l.running == 0 {
		l.begin()
		return f
	}
	time.AfterFunc(listPatience, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.next == f && l.running < maxLists {
			l.begin()
		}
	})
	return f
}

// begin starts the flight that gathers callers. l.mu is held.
func (l *lister) begin() {
	f := l.next
	l.next = nil
	l.running++
	go func() {
		f.list, f.err = l.run()
		close(f.done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running--
		if l.next != nil {
			l.begin()
		}
	}()
}

// listZones runs zoneadm list. Flags: configured and incomplete zones too, the
// state in colons-and-lines form. Not -z NAME: that verifies the zone's
// configuration with its brand, which is slower and can fail (illumos zoneadm.c).
func (m *Manager) listZones() (listing, error) {
	out, err := m.commands.Output(m.life, command.Call{Argv: []string{"zoneadm", "list", "-cip"}, Budget: listBudget})
	if err != nil {
		return listing{}, err
	}
	if !bytes.HasSuffix(out, []byte("\n")) {
		return listing{}, errors.New("zoneadm list -cip: what it printed is cut off")
	}
	zones, garbage := parse.Zones(out)
	l := listing{zones: make(map[string]parse.Zone, len(zones)), garbage: garbage}
	for _, z := range zones {
		l.zones[z.Name] = z
	}
	if _, ok := l.zones[parse.GlobalZone]; !ok {
		// What lacks the zone that is always there may lack any other.
		return listing{}, errors.New("zoneadm list -cip: it printed no line of the global zone")
	}
	if len(garbage) > 0 {
		m.cfg.Log.Warn().Strs("lines", garbage[:min(3, len(garbage))]).Int("count", len(garbage)).
			Msg("zoneadm list printed lines that are none of a zone")
	}
	return l, nil
}

// look finds one zone in a listing. That a zone is not listed counts only if no
// line could have been its own.
func (l listing) look(name string) (zone.Info, error) {
	if z, ok := l.zones[name]; ok {
		return info(z), nil
	}
	for _, line := range l.garbage {
		if strings.Contains(line, name) {
			return zone.Info{}, fmt.Errorf("zoneadm list -cip: cannot read the line %q", line)
		}
	}
	return zone.Info{Name: name, State: zone.Absent}, nil
}

// info is what a line of zoneadm list says of a zone.
//
// The incarnation is the kernel's zone id, which a zone is given at each boot
// and at each reboot. Ids are handed out in turn up to 9999 (illumos zone.c), so
// that of an earlier boot comes back after ten thousand boots on one host, and
// host boots are told apart by whoever keeps incarnations.
func info(z parse.Zone) zone.Info {
	i := zone.Info{Name: z.Name, State: z.State}
	if z.ID >= 0 {
		i.Incarnation = fmt.Sprintf("zid-%d", z.ID)
	}
	return i
}
