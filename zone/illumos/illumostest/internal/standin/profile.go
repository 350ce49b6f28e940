package standin

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// doctype is what a profile must declare to be valid.
const doctype = `DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1"`

// A profile is what one says of one instance.
type profile struct {
	enabled bool
	// properties by group/name.
	properties map[string]string
}

// An element is one of XML with the whole of its content.
type element struct {
	name     string
	attrs    map[string]string
	children []*element
}

// grammar is the part of the DTD that profiles use: for each element its
// attributes, all of them required, and the elements that may be in it.
var grammar = map[string]struct{ attrs, children []string }{
	"service_bundle": {[]string{"type", "name"}, []string{"service"}},
	"service":        {[]string{"name", "type", "version"}, []string{"instance", "property_group"}},
	"instance":       {[]string{"name", "enabled"}, []string{"property_group"}},
	"property_group": {[]string{"name", "type"}, []string{"propval"}},
	"propval":        {[]string{"name", "type", "value"}, nil},
}

// parseProfile reads an SMF profile. Like svccfg(8) it takes nothing that is
// not valid to the letter.
func parseProfile(text []byte, fmri string) (profile, error) {
	bundle, err := parseBundle(text)
	if err != nil {
		return profile{}, err
	}
	p := profile{enabled: true, properties: make(map[string]string)}
	for _, service := range bundle.children {
		p.take(service, "svc:/"+service.attrs["name"], fmri)
		for _, instance := range service.children {
			p.take(instance, "svc:/"+service.attrs["name"]+":"+instance.attrs["name"], fmri)
		}
	}
	return p, nil
}

// take notes what an element says of the instance, or of its service.
func (p *profile) take(e *element, name, fmri string) {
	service, _, _ := strings.Cut(fmri, ":default")
	if name != fmri && name != service {
		return
	}
	if e.name == "instance" {
		p.enabled = e.attrs["enabled"] == "true"
	}
	for _, group := range e.children {
		for _, v := range group.children {
			if group.name == "property_group" {
				p.properties[group.attrs["name"]+"/"+v.attrs["name"]] = v.attrs["value"]
			}
		}
	}
}

func parseBundle(text []byte) (*element, error) {
	if !bytes.HasPrefix(text, []byte("<?xml ")) {
		return nil, errors.New("no XML declaration")
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	declared := false
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.Directive:
			declared = strings.Join(strings.Fields(string(token)), " ") == doctype
		case xml.CharData:
			if err := blank(token); err != nil {
				return nil, err
			}
		case xml.StartElement:
			if !declared {
				return nil, errors.New("not validated: the document type is not service_bundle.dtd.1")
			}
			return parseRoot(d, token)
		}
	}
}

func parseRoot(d *xml.Decoder, start xml.StartElement) (*element, error) {
	bundle, err := parseElement(d, start)
	switch {
	case err != nil:
		return nil, err
	case bundle.name != "service_bundle" || bundle.attrs["type"] != "profile":
		return nil, errors.New("the document is no profile")
	}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return bundle, nil
		}
		if err != nil {
			return nil, err
		}
		if data, ok := token.(xml.CharData); !ok || blank(data) != nil {
			return nil, errors.New("there is something after the bundle")
		}
	}
}

func parseElement(d *xml.Decoder, start xml.StartElement) (*element, error) {
	e := &element{name: start.Name.Local, attrs: make(map[string]string)}
	for _, attr := range start.Attr {
		e.attrs[attr.Name.Local] = attr.Value
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return e, nil
		case xml.CharData:
			if err := blank(token); err != nil {
				return nil, err
			}
		case xml.StartElement:
			if !slices.Contains(grammar[e.name].children, token.Name.Local) {
				return nil, fmt.Errorf("<%s> is not allowed in <%s>", token.Name.Local, e.name)
			}
			child, err := parseElement(d, token)
			if err != nil {
				return nil, err
			}
			e.children = append(e.children, child)
		}
	}
}

func (e *element) validate() error {
	rule, known := grammar[e.name]
	if !known {
		return fmt.Errorf("<%s> is not known", e.name)
	}
	for _, name := range rule.attrs {
		if _, ok := e.attrs[name]; !ok {
			return fmt.Errorf("<%s> lacks %s", e.name, name)
		}
	}
	for name := range e.attrs {
		if !slices.Contains(rule.attrs, name) {
			return fmt.Errorf("<%s> has no attribute %s", e.name, name)
		}
	}
	value := func(name, want string) error {
		if got := e.attrs[name]; got != want {
			return fmt.Errorf("<%s %s=%q>: want %q", e.name, name, got, want)
		}
		return nil
	}
	switch {
	case e.name == "service":
		return errors.Join(value("type", "service"), value("version", "1"))
	case e.name == "instance" && e.attrs["enabled"] != "false":
		return value("enabled", "true")
	case e.name == "property_group" && e.attrs["name"] == "config":
		return value("type", "application")
	case e.name == "propval":
		return value("type", "astring")
	}
	return nil
}

func blank(data xml.CharData) error {
	if strings.TrimSpace(string(data)) != "" {
		return fmt.Errorf("text %q is out of place", strings.TrimSpace(string(data)))
	}
	return nil
}
