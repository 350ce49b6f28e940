package parse

import (
	"strings"
)

// A ZoneConfig is what zonecfg export tells of a zone, as far as it matters here.
type ZoneConfig struct {
	Path, Brand string
	// Links are the datalinks of its net resources.
	Links []string
	// Devices are the patterns of its device resources.
	Devices []string
	// Attrs are its attributes by name.
	Attrs map[string]string
}

// Export reads the output of zonecfg export. Commands that it does not know
// are passed over.
func Export(out []byte) ZoneConfig {
	r := exportReader{cfg: ZoneConfig{Attrs: make(map[string]string)}}
	for line := range strings.Lines(string(out)) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "add":
			r.resource, r.props = strings.TrimSpace(rest), make(map[string]string)
		case "set":
			r.set(rest)
		case "end":
			r.end()
		}
	}
	return r.cfg
}

type exportReader struct {
	cfg      ZoneConfig
	resource string // empty outside of one
	props    map[string]string
}

func (r *exportReader) set(assignment string) {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return
	}
	key, value = strings.TrimSpace(key), unquote(strings.TrimSpace(value))
	switch {
	case r.resource != "":
		r.props[key] = value
	case key == "zonepath":
		r.cfg.Path = value
	case key == "brand":
		r.cfg.Brand = value
	}
}

func (r *exportReader) end() {
	switch r.resource {
	case "net":
		if link := r.props["physical"]; link != "" {
			r.cfg.Links = append(r.cfg.Links, link)
		}
	case "device":
		if match := r.props["match"]; match != "" {
			r.cfg.Devices = append(r.cfg.Devices, match)
		}
	case "attr":
		if name := r.props["name"]; name != "" {
			r.cfg.Attrs[name] = r.props["value"]
		}
	}
	r.resource, r.props = "", nil
}

// unquote takes off the quotes that zonecfg puts around a value with spaces.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
