package standin

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Config is what zonecfg knows of a zone.
type Config struct {
	Brand, Zonepath, Autoboot, IPType string
	// Others are further global properties.
	Others    map[string]string `json:",omitempty"`
	Resources []Resource        `json:",omitempty"`
}

// A Resource is one resource block: a type and its properties.
type Resource struct {
	Type  string
	Props []Prop
}

// A Prop is one property. Value is what it was set to, without quotes; several
// additions to one property are several Props.
type Prop struct{ Name, Value string }

// Get returns the first value of a property, or "".
func (r Resource) Get(name string) string {
	for _, p := range r.Props {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// All returns the resources of one type.
func (c Config) All(kind string) (found []Resource) {
	for _, r := range c.Resources {
		if r.Type == kind {
			found = append(found, r)
		}
	}
	return found
}

// Links are the datalinks that the zone is to have, as often as they are listed.
func (c Config) Links() (links []string) {
	for _, net := range c.All("net") {
		links = append(links, net.Get("physical"))
	}
	return links
}

// otherGlobals are the global properties besides those with a field.
var otherGlobals = []string{"bootargs", "pool", "limitpriv", "scheduling-class", "hostid", "fs-allowed", "cpu-shares",
	"max-lwps", "max-processes"}

// setGlobal sets a global property.
func (c *Config) setGlobal(name, value string) error {
	switch name {
	case "zonepath":
		if !strings.HasPrefix(value, "/") {
			return refuse("%s is not an absolute path.", value)
		}
		c.Zonepath = strings.TrimRight(value, "/")
	case "brand":
		c.Brand = value
	case "autoboot":
		if value != "true" && value != "false" {
			return fmt.Errorf("autoboot value must be true or false, not %q", value)
		}
		c.Autoboot = value
	case "ip-type":
		if value != "exclusive" && value != "shared" {
			return fmt.Errorf("ip-type value must be exclusive or shared, not %q", value)
		}
		c.IPType = value
	default:
		if !slices.Contains(otherGlobals, name) {
			return fmt.Errorf("property %q is not known in global scope", name)
		}
		if c.Others == nil {
			c.Others = make(map[string]string)
		}
		c.Others[name] = value
	}
	return nil
}

// problem says what keeps the configuration from being committed.
func (c Config) problem() string {
	switch {
	case c.Zonepath == "":
		return "required resource missing: zonepath cannot be empty."
	case c.Brand == "":
		return "required resource missing: brand cannot be empty."
	}
	return ""
}

// resourceRules are the properties of each resource: needed ones and others.
var resourceRules = map[string]struct{ needed, others []string }{
	"fs":            {[]string{"dir", "special", "type"}, []string{"raw", "options"}},
	"net":           {[]string{"physical"}, []string{"address", "defrouter", "allowed-address", "property"}},
	"device":        {[]string{"match"}, nil},
	"capped-memory": {nil, []string{"physical", "swap", "locked"}},
	"capped-cpu":    {[]string{"ncpus"}, nil},
	"dedicated-cpu": {[]string{"ncpus"}, []string{"importance"}},
	"rctl":          {[]string{"name", "value"}, nil},
	"attr":          {[]string{"name", "type", "value"}, nil},
	"dataset":       {[]string{"name"}, nil},
	"admin":         {[]string{"user", "auths"}, nil},
}

// exportOrder is the order of resources in an export. Caps come out as the
// resource controls that they are.
var exportOrder = []string{"fs", "net", "device", "capped-memory", "rctl", "attr", "dataset", "dedicated-cpu", "admin"}

func (r Resource) mayHave(name string) bool {
	rule := resourceRules[r.Type]
	return slices.Contains(rule.needed, name) || slices.Contains(rule.others, name)
}

// complete says what is wrong with a resource at its end.
func (r Resource) complete(ipType string) string {
	for _, name := range resourceRules[r.Type].needed {
		if r.Get(name) == "" {
			return name + " not specified\nResource incomplete."
		}
	}
	switch {
	case r.Type == "net" && ipType == "exclusive" && r.Get("address")+r.Get("defrouter") != "":
		return "address and defrouter cannot be specified for an exclusive-IP zone."
	case r.Type == "attr" && strings.HasPrefix(r.Get("name"), "zone"):
		return fmt.Sprintf("attr name %s is reserved.", r.Get("name"))
	case r.Type == "capped-memory" && len(r.Props) == 0:
		return "one of physical, swap or locked has to be specified\nResource incomplete."
	case r.Type == "capped-memory":
		return r.memoryProblem()
	case r.Type == "capped-cpu":
		if n, err := strconv.ParseFloat(r.Get("ncpus"), 64); err != nil || n < 0.01 {
			return "ncpus has to be a number of at least 0.01."
		}
	}
	return ""
}

func (r Resource) memoryProblem() string {
	size := make(map[string]uint64)
	for _, p := range r.Props {
		bytes, ok := parseSize(p.Value)
		if !ok {
			return fmt.Sprintf("%s: %q is not a size.", p.Name, p.Value)
		}
		size[p.Name] = bytes
	}
	if size["physical"] > 0 && size["locked"] > size["physical"] {
		return "The locked cap must be less than or equal to the physical cap."
	}
	return ""
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([KMGTkmgt]?)$`)

func parseSize(text string) (bytes uint64, ok bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	shift := map[string]float64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[strings.ToUpper(m[2])]
	return uint64(n * shift), err == nil
}

// export is the configuration as a script for zonecfg.
func (c Config) export() string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("create -b")
	line("set zonepath=%s", quoted(c.Zonepath))
	line("set brand=%s", c.Brand)
	line("set autoboot=%s", c.Autoboot)
	for _, name := range otherGlobals {
		if c.Others[name] != "" {
			line("set %s=%s", name, quoted(c.Others[name]))
		}
	}
	line("set ip-type=%s", c.IPType)
	for _, kind := range exportOrder {
		for _, r := range c.exported(kind) {
			line("add %s", kind)
			for _, p := range r.Props {
				if p.Name == "options" || r.Type == "rctl" && p.Name == "value" {
					line("add %s %s", p.Name, p.Value)
					continue
				}
				line("set %s=%s", p.Name, quoted(p.Value))
			}
			line("end")
		}
	}
	return out.String()
}

// exported are the resources of a type as an export shows them.
func (c Config) exported(kind string) (out []Resource) {
	control := func(name string, limit uint64) Resource {
		return Resource{"rctl", []Prop{{"name", name}, {"value", fmt.Sprintf("(priv=privileged,limit=%d,action=deny)", limit)}}}
	}
	for _, r := range c.Resources {
		switch {
		case r.Type == "capped-memory" && kind == "capped-memory" && r.Get("physical") != "":
			out = append(out, Resource{kind, []Prop{{"physical", r.Get("physical")}}})
		case r.Type == "capped-memory" && kind == "rctl":
			for _, cap := range []struct{ prop, name string }{{"swap", "zone.max-swap"}, {"locked", "zone.max-locked-memory"}} {
				if limit, ok := parseSize(r.Get(cap.prop)); ok {
					out = append(out, control(cap.name, limit))
				}
			}
		case r.Type == "capped-cpu" && kind == "rctl":
			ncpus, _ := strconv.ParseFloat(r.Get("ncpus"), 64)
			out = append(out, control("zone.cpu-cap", uint64(math.Round(ncpus*100))))
		case r.Type == kind && kind != "capped-memory":
			out = append(out, r)
		}
	}
	return out
}

// quoted puts a value in quotes where zonecfg's grammar needs them.
func quoted(value string) string {
	if value == "" || strings.ContainsAny(value, " \t,=;#[]()") {
		return `"` + value + `"`
	}
	return value
}
