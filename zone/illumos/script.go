package illumos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
)

// Attributes that identify a zone's configuration: idAttr is the VMM's id, markAttr
// a value that is new each time the agent writes a configuration. Names of
// attributes consist of letters, digits, dashes and dots, and do not begin with
// "zone" (zonecfg(8)).
const (
	idAttr   = "propolis-id"
	markAttr = "sled-agent"
)

// vmDevices are the devices of bhyve that a Propolis server needs. They are
// patterns, which match nothing on a host without bhyve.
var vmDevices = []string{"/dev/vmm/*", "/dev/vmmctl", "/dev/viona"}

// script returns the configuration of a zone in zonecfg's language, one command per
// line. The first is a plain "create -b", which fails if a zone of that name is
// configured. If one is installed, it only prints an error, and the following lines
// change that zone (illumos zonecfg.c); see configure.
func (m *Manager) script(name, mark string, devices, links []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("create -b")
	line("set brand=%s", m.cfg.Brand)
	line("set zonepath=%s", m.zonePath(name))
	line("set autoboot=false")
	line("set ip-type=exclusive")
	if m.cfg.MaxTasks > 0 {
		line("set max-lwps=%d", m.cfg.MaxTasks) // the resource control zone.max-lwps (zonecfg(8))
	}
	for _, device := range append(slices.Clip(vmDevices), devices...) {
		line("add device")
		line("set match=%s", device)
		line("end")
	}
	for _, link := range links {
		line("add net")
		line("set physical=%s", link)
		line("end")
	}
	for _, attr := range []property{{idAttr, m.propolisID(name)}, {markAttr, mark}} {
		line("add attr")
		line("set name=%s", attr.name)
		line("set type=string")
		line("set value=%s", attr.value)
		line("end")
	}
	return b.String()
}

// checkDevices returns an error for a device that zonecfg would read as several
// words or match as a pattern (zonecfg(8)).
func checkDevices(devices []string) error {
	for _, d := range devices {
		if !strings.HasPrefix(d, "/dev/") || !safeWord.MatchString(d) || filepath.Clean(d) != d {
			return fmt.Errorf("device %q is not a plain path below /dev", d)
		}
	}
	return nil
}

// configure writes a zone's configuration and then verifies it by its mark: if
// another program has installed a zone of that name meanwhile, zonecfg changes that
// zone and exits with 0.
func (m *Manager) configure(ctx context.Context, name, script, mark string) error {
	failed := m.runScript(ctx, name, script)
	if command.Said(failed, "already installed", "zone exists") {
		return m.setForeign(name, failed)
	}
	if ctx.Err() != nil {
		return errors.Join(failed, context.Cause(ctx))
	}
	i, err := m.lookRetrying(ctx, name)
	switch {
	case err != nil:
		return errors.Join(failed, err)
	case i.State != zone.Configured && i.State != zone.Absent:
		return m.setForeign(name, errors.Join(failed, fmt.Errorf("after zonecfg it is %v", i.State)))
	case failed != nil:
		return failed
	}
	cfg, err := m.export(ctx, name)
	if err != nil {
		return err
	}
	if cfg.Attrs[markAttr] != mark || cfg.Attrs[idAttr] != m.propolisID(name) {
		return m.setForeign(name, errors.New("its configuration is not the one that was written"))
	}
	return nil
}

// setForeign records that another program created a zone, and returns the error.
func (m *Manager) setForeign(name string, why error) error {
	m.facts.change(name, func(f *fact) {
		f.forgetLinks()
		f.foreign = true
	})
	return fmt.Errorf("%w, made by another program: %w", zone.ErrExists, why)
}

// errForeign is the error of removals of a zone that another program created.
var errForeign = errors.New("another program created it while the agent was creating it")

// notForeign returns an error for a zone that Create found to be another program's,
// until that zone is absent.
func (m *Manager) notForeign(ctx context.Context, name string) error {
	if !m.facts.of(name).foreign {
		return nil
	}
	i, err := m.look(ctx, name)
	if err != nil || i.State != zone.Absent {
		return errors.Join(errForeign, err)
	}
	m.facts.change(name, func(f *fact) { f.foreign = false })
	return nil
}

// runScript runs zonecfg with a script in a file. Given a script as arguments,
// zonecfg continues after an error and saves the rest; "-f -" is interactive mode
// (illumos zonecfg.c). Any output on standard error is an error, even if zonecfg
// exits with 0.
func (m *Manager) runScript(ctx context.Context, name, script string) (err error) {
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
	argv := []string{"zonecfg", "-z", name, "-f", file}
	_, warned, err := m.commands.Outputs(ctx, command.Call{Argv: argv, For: name, Budget: quickBudget, Makes: true})
	if err == nil && warned != "" {
		return &command.Error{Argv: argv, Stderr: warned, Err: errors.New("it printed an error and exited with 0")}
	}
	return err
}

// unconfigure deletes a zone's configuration. Without -F, zonecfg prompts.
func (m *Manager) unconfigure(ctx context.Context, name string) error {
	err := m.commands.Run(ctx, command.Call{Argv: []string{"zonecfg", "-z", name, "delete", "-F"}, For: name, Budget: quickBudget})
	if err == nil {
		return nil
	}
	return m.unlessAbsent(ctx, name, err)
}

// unlessAbsent returns err unless the zone is absent: of two concurrent deletions,
// the second fails although the zone is deleted.
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
