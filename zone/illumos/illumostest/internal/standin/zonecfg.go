package standin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Config is a zone's configuration.
type Config struct {
	Globals   Resource
	Resources []Resource
}

// A Resource has a type and properties with one value each. The global properties are
// a resource without type.
type Resource struct {
	Type  string
	Props []Prop
}

// A Prop is a property.
type Prop struct{ Name, Value string }

// Get returns the value of a property, or "".
func (r Resource) Get(name string) string {
	if i := r.index(name); i >= 0 {
		return r.Props[i].Value
	}
	return ""
}

func (r Resource) index(name string) int {
	return slices.IndexFunc(r.Props, func(p Prop) bool { return p.Name == name })
}

// set sets a property, or returns an error if the resource cannot have it.
func (r *Resource) set(name, value string) error {
	pattern, known := properties[r.Type][name]
	switch valid := regexp.MustCompile("^(" + pattern + ")$").MatchString(value); {
	case !known:
		return refuse("property %q is not known in scope %q", name, r.Type)
	case !valid && name == "brand":
		return refuse("%s: unknown brand.", value)
	case !valid:
		return refuse("%s: %q contains invalid characters.", name, value)
	case r.Type == "attr" && name == "name" && strings.HasPrefix(value, "zone"):
		return refuse("attr name %s is reserved.", value)
	}
	if i := r.index(name); i >= 0 {
		r.Props = slices.Delete(r.Props, i, i+1)
	}
	r.Props = append(r.Props, Prop{name, value})
	return nil
}

// refuse returns an error with a message of the host, which may be a sentence.
func refuse(format string, args ...any) error { return fmt.Errorf(format, args...) }

// properties maps the type of a resource to its properties and patterns of their
// values. A resource needs all its properties.
var properties = map[string]map[string]string{
	"": {"zonepath": "/.+", "brand": "ipkg|lipkg|sparse|lx|omicron1", "autoboot": "true|false",
		"ip-type": "exclusive|shared", "max-lwps": "[0-9]+"},
	"net":    {"physical": ".+"},
	"device": {"match": ".+"},
	"attr":   {"name": "[A-Za-z0-9][-.A-Za-z0-9]*", "type": "string", "value": ".+"},
}

// keys are the properties that identify a resource among those of its type.
var keys = map[string]string{"net": "physical", "device": "match", "attr": "name"}

// Zonepath returns the zonepath.
func (c Config) Zonepath() string { return c.Globals.Get("zonepath") }

func (c Config) root() string { return filepath.Join(c.Zonepath(), "root") }

// Links returns the datalinks of the net resources.
func (c Config) Links() (links []string) {
	for _, r := range c.Resources {
		if r.Type == "net" {
			links = append(links, r.Get("physical"))
		}
	}
	return links
}

// zonecfg simulates zonecfg(8) with -f file, or with the script as arguments.
func zonecfg(c *call) int {
	switch {
	case c.zone == "" || len(c.args) == 0:
		return c.usage()
	case !validZoneName(c.zone):
		return c.errorf("%s: Invalid zone name", c.zone)
	}
	e := &editor{call: c}
	e.zone, e.saved = c.configured()
	if e.zone != nil {
		e.config = e.zone.Config
	}
	if c.verb != "-f" {
		return e.script(strings.Join(c.args, " "), "")
	}
	file := c.args[len(c.args)-1]
	text, err := os.ReadFile(file)
	if err != nil {
		return c.errorf("could not open file %s: No such file or directory", file)
	}
	return e.script(string(text), file)
}

// configured returns the zone. If the index does not have it but its configuration
// file exists, savedAlone is true. It returns nil if there is neither.
func (c *call) configured() (z *Zone, savedAlone bool) {
	if z, ok := c.Zones.Get(c.zone); ok {
		return z, false
	}
	var saved Config
	if !readJSON(c.configFile(c.zone), &saved) {
		return nil, false
	}
	return &Zone{Name: c.zone, State: Configured, Config: saved}, true
}

// An editor edits one zone's configuration until it is committed.
type editor struct {
	*call
	// zone is nil if it does not exist. saved: it is not in the index.
	zone  *Zone
	saved bool
	// config is the edited configuration. created: it is a new one.
	config           Config
	created, changed bool
	// resource is the resource between add and end.
	resource *Resource
}

// script runs one command per line. A script from a file ends at the first error and
// saves nothing; one from arguments continues, and its result is saved.
func (e *editor) script(text, file string) (exit int) {
	for n, line := range strings.Split(strings.ReplaceAll(text, ";", "\n"), "\n") {
		err := e.do(strings.Fields(line))
		if err != nil && file != "" {
			e.errorf("On line %d of %s:", n+1, file)
			return e.errorf("%v\nConfiguration not saved.", err)
		}
		if err != nil {
			exit = e.errorf("%v", err)
		}
	}
	if e.resource != nil {
		exit = e.errorf("Resource incomplete.")
	}
	if e.changed {
		if err := e.commit(); err != nil {
			return e.errorf("%v\nConfiguration not saved.", err)
		}
	}
	return exit
}

// commit writes the zone's file before the index.
func (e *editor) commit() error {
	for _, name := range []string{"zonepath", "brand"} {
		if e.config.Globals.Get(name) == "" {
			return refuse("required resource missing: %s cannot be empty.", name)
		}
	}
	// If two create a zone concurrently, one fails.
	fresh := e.created && e.zone == nil
	if _, there := e.Zones.Get(e.call.zone); there && !fresh || !there && (e.created || e.saved) {
		e.Locked(func() { writeJSON(e.configFile(e.call.zone), e.config) })
	}
	if f := e.apply(e.point(During)); f != nil {
		return errors.New(f.Text)
	}
	var err error
	e.Locked(func() {
		z, there := e.Zones.Get(e.call.zone)
		switch {
		case there && fresh:
			err = refuse("%s: Zone exists", e.call.zone)
			return
		case !there && !e.created && !e.saved:
			err = e.none()
			return
		case !there:
			z = &Zone{Name: e.call.zone, State: Configured, Order: e.next("order")}
		}
		z.Config = e.config
		e.Zones.put(z.Name, z)
		e.writeIndex()
	})
	return err
}

func (e *editor) none() error { return refuse("%s: No such zone configured", e.call.zone) }

// do runs one command.
func (e *editor) do(words []string) error {
	if len(words) == 0 {
		return nil
	}
	args := words[1:]
	switch {
	case words[0] == "create":
		return e.create(slices.Contains(args, "-F"))
	case words[0] == "delete":
		return e.remove(slices.Contains(args, "-F"))
	case e.zone == nil && !e.created:
		return e.none()
	case words[0] == "set" && len(args) == 1:
		return e.set(args[0])
	case words[0] == "add" && len(args) == 1 && e.resource == nil && keys[args[0]] != "":
		e.resource = &Resource{Type: args[0]}
		return nil
	case words[0] == "end" && e.resource != nil:
		return e.end()
	case words[0] == "export":
		e.export()
		return nil
	}
	return refuse("syntax error at %q", words)
}

func (e *editor) create(force bool) error {
	switch {
	case e.zone == nil:
	case e.zone.State != Configured && e.zone.State != Incomplete:
		// The following lines edit the existing zone, and zonecfg exits with 0.
		e.errorf("Zone %s already installed; create not allowed.", e.call.zone)
		return nil
	case !force:
		return refuse("Zone exists, input not from terminal and -F not specified: create aborted.")
	}
	e.config = Config{Globals: Resource{Props: []Prop{{"autoboot", "false"}, {"ip-type", "shared"}}}}
	e.created, e.changed = true, true
	return nil
}

// remove runs "delete": immediately, and only of the configuration. It removes the
// index entry before the file.
func (e *editor) remove(force bool) (err error) {
	if !force {
		return refuse("Input not from terminal and -F not specified: delete aborted.")
	}
	e.Locked(func() {
		switch z, saved := e.configured(); {
		case z == nil:
			err = e.none()
		case z.Active():
			err = refuse("%s: Zone state is invalid for the requested operation", z.Name)
		case !saved:
			e.Zones.drop(z.Name)
			e.writeIndex()
		}
	})
	if err != nil {
		return err
	}
	if f := e.apply(e.point(During)); f != nil {
		return errors.New(f.Text)
	}
	_ = os.Remove(e.configFile(e.call.zone)) // another delete may have removed it
	e.zone, e.changed = nil, false
	return nil
}

func (e *editor) set(property string) error {
	name, value, ok := strings.Cut(property, "=")
	if !ok || strings.ContainsAny(value, `="`) {
		return refuse("syntax error at %q: a value needs quotes, which are not simulated", property)
	}
	e.changed = true
	if e.resource != nil {
		return e.resource.set(name, value)
	}
	if e.zone != nil && e.zone.State != Configured && (name == "zonepath" || name == "brand") {
		e.errorf("Zone %s already installed; set %s not allowed.", e.call.zone, name)
		return nil
	}
	return e.config.Globals.set(name, value)
}

func (e *editor) end() error {
	r, key := *e.resource, keys[e.resource.Type]
	if len(r.Props) < len(properties[r.Type]) {
		return refuse("of %s not all is specified\nResource incomplete.", r.Type)
	}
	for _, other := range e.config.Resources {
		if other.Type == r.Type && other.Get(key) == r.Get(key) {
			return refuse("A %s resource with the %s '%s' already exists.", r.Type, key, r.Get(key))
		}
	}
	e.config.Resources = append(e.config.Resources, r)
	e.resource = nil
	return nil
}

// export prints the configuration as a script for zonecfg.
func (e *editor) export() {
	e.print("create -b")
	for _, p := range e.config.Globals.Props {
		e.print("set %s=%s", p.Name, p.Value)
	}
	for _, r := range e.config.Resources {
		e.print("add %s", r.Type)
		for _, p := range r.Props {
			e.print("set %s=%s", p.Name, p.Value)
		}
		e.print("end")
	}
}
