package standin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// zonecfg is zonecfg(8).
func zonecfg(c *call) int {
	args := c.args
	if len(args) < 2 || args[0] != "-z" {
		return c.usage("a zone name is needed: -z zonename")
	}
	c.zone, args = args[1], args[2:]
	if !validZoneName(c.zone) {
		return c.complain("%s: Invalid zone name", c.zone)
	}
	e := &editor{call: c}
	if z, ok := c.Zones.Get(c.zone); ok {
		e.zone, e.config, e.exists = z, z.Config, true
	}
	switch {
	case len(args) == 2 && args[0] == "-f":
		return e.file(args[1])
	case len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		return e.words(strings.Join(args, " "))
	}
	return c.usage("want -f file or a command")
}

// An editor works on one zone's configuration until it is committed.
type editor struct {
	*call
	zone   *Zone
	config Config
	// exists: there is a configuration to work on. created: it is a new one.
	exists, created bool
	changed, failed bool
	// resource is the one between add and end.
	resource *Resource
	// fresh: the zone must not exist by the time of the commit.
	fresh bool
}

// errExit ends the session.
var errExit = errors.New("exit")

// A refusal is in zonecfg's own words, which are sentences.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// file stops at the first error and then saves nothing.
func (e *editor) file(name string) int {
	text, err := os.ReadFile(name)
	if name == "-" {
		// Standard input counts as a person at work: errors stop nothing.
		text = must(io.ReadAll(os.Stdin))
		return e.words(string(text))
	}
	if err != nil {
		return e.complain("could not open file %s: No such file or directory", name)
	}
	statements, err := parseStatements(string(text))
	for _, s := range statements {
		if err := e.do(s.words); err == errExit {
			break
		} else if err != nil {
			e.complain("On line %d of %s:", s.line, name)
			return e.complain("%v\nConfiguration not saved.", err)
		}
	}
	if err != nil {
		e.complain("On line %d of %s:", strings.Count(string(text), "\n")+1, name)
		return e.complain("%v\nConfiguration not saved.", err)
	}
	return e.finish()
}

// words goes on after an error and commits at the end all the same.
func (e *editor) words(text string) int {
	statements, err := parseStatements(text)
	if err != nil {
		e.complain("%v", err)
		e.failed = true
	}
	for _, s := range statements {
		if err := e.do(s.words); err == errExit {
			break
		} else if err != nil {
			e.complain("%v", err)
			e.failed = true
		}
	}
	return e.finish()
}

func (e *editor) finish() int {
	if e.resource != nil {
		e.complain("Resource incomplete.")
		e.failed = true
	}
	if e.changed {
		if err := e.commit(); err != nil {
			return e.complain("%v\nConfiguration not saved.", err)
		}
	}
	if e.failed {
		return 1
	}
	return 0
}

func (e *editor) commit() error {
	if problem := e.config.problem(); problem != "" {
		return errors.New(problem)
	}
	var err error
	e.Locked(func() {
		z, ok := e.Zones.Get(e.call.zone)
		switch {
		case ok && e.fresh:
			err = fmt.Errorf("%s: Zone exists", e.call.zone)
			return
		case !ok && !e.created:
			err = fmt.Errorf("%s: No such zone configured", e.call.zone)
			return
		case !ok:
			z = &Zone{Name: e.call.zone, State: Configured}
			e.count(func(m *meta) { m.NextOrder++; z.Order = m.NextOrder })
		}
		z.Config = e.config
		e.Zones.put(z.Name, z)
	})
	e.changed, e.fresh = false, false
	return err
}

// do is one command.
func (e *editor) do(words []string) error {
	name, args := words[0], words[1:]
	switch name {
	case "create":
		return e.create(args)
	case "delete":
		return e.remove(args)
	case "exit":
		return errExit
	}
	if !e.exists {
		return fmt.Errorf("%s: No such zone configured", e.call.zone)
	}
	switch name {
	case "set":
		return e.set(args)
	case "add":
		return e.add(args)
	case "end":
		return e.end()
	case "cancel":
		e.resource = nil
		return nil
	case "export":
		e.out.WriteString(e.config.export())
		return nil
	case "info":
		e.info(args)
		return nil
	case "verify":
		if problem := e.config.problem(); problem != "" {
			return errors.New(problem)
		}
		return nil
	case "commit":
		return e.commit()
	case "revert":
		e.config, e.changed = e.zone.Config, false
		return nil
	}
	return fmt.Errorf("syntax error at %q", name)
}

func (e *editor) create(args []string) error {
	force := slices.Contains(args, "-F")
	switch {
	case e.zone == nil:
	case !force:
		return refuse("Zone exists, input not from terminal and -F not specified: create aborted.")
	case e.zone.State != Configured && e.zone.State != Incomplete:
		// The lines that follow edit what is there.
		e.print("Zone %s already installed; create not allowed.", e.call.zone)
		e.failed = true
		return nil
	default:
		e.print("Zone %s already exists; overwriting.", e.call.zone)
	}
	e.config = Config{Autoboot: "false", IPType: "shared"}
	if !slices.Contains(args, "-b") {
		e.config.Brand = "ipkg"
	}
	e.exists, e.created, e.changed, e.fresh = true, true, true, e.zone == nil
	return nil
}

// remove is delete: at once, and of the configuration alone.
func (e *editor) remove(args []string) error {
	if !slices.Contains(args, "-F") {
		return refuse("Input not from terminal and -F not specified: delete aborted.")
	}
	var err error
	e.Locked(func() {
		z, ok := e.Zones.Get(e.call.zone)
		switch {
		case !ok:
			err = fmt.Errorf("%s: No such zone configured", e.call.zone)
		case z.Active():
			err = fmt.Errorf("%s: Zone state is invalid for the requested operation", e.call.zone)
		default:
			e.Zones.drop(z.Name)
		}
	})
	if err == nil {
		e.zone, e.exists, e.changed = nil, false, false
	}
	return err
}

func (e *editor) set(args []string) error {
	if len(args) != 1 {
		return errors.New("syntax error: set wants one property=value")
	}
	name, value, ok := strings.Cut(args[0], "=")
	if !ok {
		return fmt.Errorf("syntax error at %q", args[0])
	}
	e.changed = true
	if e.resource == nil {
		installed := e.zone != nil && e.zone.State != Configured
		if installed && (name == "zonepath" || name == "brand") {
			return refuse("Zone %s already installed; set %s not allowed.", e.call.zone, name)
		}
		return e.config.setGlobal(name, value)
	}
	if !e.resource.mayHave(name) {
		return fmt.Errorf("%s is not a property of %s", name, e.resource.Type)
	}
	e.resource.Props = slices.DeleteFunc(e.resource.Props, func(p Prop) bool { return p.Name == name })
	e.resource.Props = append(e.resource.Props, Prop{name, value})
	return nil
}

func (e *editor) add(args []string) error {
	switch {
	case len(args) == 2 && e.resource != nil && e.resource.mayHave(args[0]):
		e.resource.Props = append(e.resource.Props, Prop{args[0], args[1]})
	case len(args) != 1 || e.resource != nil:
		return errors.New("syntax error: add is out of place")
	default:
		if _, known := resourceRules[args[0]]; !known {
			return fmt.Errorf("unknown resource type %q", args[0])
		}
		e.resource = &Resource{Type: args[0]}
	}
	return nil
}

func (e *editor) end() error {
	if e.resource == nil {
		return errors.New("syntax error: end without add")
	}
	r := *e.resource
	if problem := r.complete(e.config.IPType); problem != "" {
		return errors.New(problem)
	}
	for _, other := range e.config.Resources {
		if other.Type == "attr" && r.Type == "attr" && other.Get("name") == r.Get("name") {
			return refuse("An attr resource with the name %s already exists.", r.Get("name"))
		}
	}
	e.config.Resources = append(e.config.Resources, r)
	e.resource, e.changed = nil, true
	return nil
}

// info is for people.
func (e *editor) info(args []string) {
	if len(args) == 0 {
		e.print("zonename: %s\nzonepath: %s\nbrand: %s\nautoboot: %s\nip-type: %s", e.call.zone,
			e.config.Zonepath, e.config.Brand, e.config.Autoboot, e.config.IPType)
	}
	for _, r := range e.config.Resources {
		if len(args) > 0 && args[0] != r.Type {
			continue
		}
		e.print("%s:", r.Type)
		for _, p := range r.Props {
			e.print("\t%s: %s", p.Name, p.Value)
		}
	}
}
