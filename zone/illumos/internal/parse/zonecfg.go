package parse

import (
	"bytes"
	"strings"
)

// A ZoneConfig is the part of a zone's configuration that this project uses.
type ZoneConfig struct {
	Path string
	// Links are the datalinks of its net resources.
	Links []string
	// Attrs are its attributes by name.
	Attrs map[string]string
}

// Export parses the output of zonecfg export and ignores commands that it does not
// know. whole is false if the output has no zonepath, which every zone has, or ends
// within a line or a resource.
func Export(out []byte) (cfg ZoneConfig, whole bool) {
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
	return r.cfg, r.cfg.Path != "" && r.resource == "" && bytes.HasSuffix(out, []byte("\n"))
}

type exportReader struct {
	cfg      ZoneConfig
	resource string // empty outside a resource
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
	}
}

func (r *exportReader) end() {
	switch r.resource {
	case "net":
		if link := r.props["physical"]; link != "" {
			r.cfg.Links = append(r.cfg.Links, link)
		}
	case "attr":
		if name := r.props["name"]; name != "" {
			r.cfg.Attrs[name] = r.props["value"]
		}
	}
	r.resource, r.props = "", nil
}

// unquote removes the quotes that zonecfg puts around a value with spaces.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
