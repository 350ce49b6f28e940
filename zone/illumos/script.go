package illumos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// idAttr is the attribute in which a zone's configuration says whose it is. It
// lasts as long as the configuration. Names that begin with "zone" are reserved
// (zonecfg(8)).
const idAttr = "propolis-id"

// vmDevices are what a Propolis server needs of bhyve. They are patterns: where
// there is no such device they match nothing.
var vmDevices = []string{"/dev/vmm/*", "/dev/vmmctl", "/dev/viona"}

// script is the configuration of a zone in zonecfg's language, one command on a
// line. It begins with a plain "create -b", which fails if there is a zone of
// the name: with -F, the lines after it would change that one (illumos
// zonecfg.c).
func (m *Manager) script(name string, devices, links []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("create -b")
	line("set brand=%s", m.cfg.Brand)
	line("set zonepath=%s", m.zonePath(name))
	line("set autoboot=false")
	line("set ip-type=exclusive")
	for _, device := range append(vmDevices[:len(vmDevices):len(vmDevices)], devices...) {
		line("add device")
		line("set match=%s", device)
		line("end")
	}
	for _, link := range links {
		line("add net")
		line("set physical=%s", link)
		line("end")
	}
	line("add attr")
	line("set name=%s", idAttr)
	line("set type=string")
	line("set value=%s", m.propolisID(name))
	line("end")
	return b.String()
}

// checkDevices refuses what zonecfg would read as more than one path: a device
// is matched as a pattern (zonecfg(8)), and the script is read word by word.
func checkDevices(devices []string) error {
	for _, d := range devices {
		if !strings.HasPrefix(d, "/dev/") || !safeWord.MatchString(d) || filepath.Clean(d) != d {
			return fmt.Errorf("device %q is no plain path below /dev", d)
		}
	}
	return nil
}

// configure makes a zone's configuration. The script is a real file: given as
// arguments, zonecfg goes on after an error and saves what came before it, and
// what comes from "-f -" counts as typed by a person (illumos zonecfg.c).
func (m *Manager) configure(ctx context.Context, name, script string) (err error) {
	dir, err := os.MkdirTemp("", "sled-agent-zonecfg-")
	if err != nil {
		return fmt.Errorf("write script for zonecfg: %w", err)
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil && e != nil {
			err = fmt.Errorf("remove script for zonecfg: %w", e)
		}
	}()
	file := filepath.Join(dir, "commands")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return fmt.Errorf("write script for zonecfg: %w", err)
	}
	return m.commands.Run(ctx, command.Call{Argv: []string{"zonecfg", "-z", name, "-f", file},
		For: name, Budget: quickBudget, Makes: true})
}

// unconfigure deletes a zone's configuration. Without -F, zonecfg asks a
// person.
func (m *Manager) unconfigure(ctx context.Context, name string) error {
	err := m.commands.Run(ctx, command.Call{Argv: []string{"zonecfg", "-z", name, "delete", "-F"}, For: name, Budget: quickBudget})
	if err == nil {
		return nil
	}
	return m.unlessAbsent(ctx, name, err)
}

// unlessAbsent returns err unless the zone is gone: the second of two deletions
// finds none, which is what it wanted.
func (m *Manager) unlessAbsent(ctx context.Context, name string, err error) error {
	i, lookErr := m.lookAfter(ctx, name)
	switch {
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case i.State == zone.Absent:
		return nil
	}
	return err
}
