package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A ServerTLS configures TLS where clients have to have certificates. Its values are absolute
// paths of PEM files: all of them, or none for plain HTTP.
type ServerTLS struct{ Cert, Key, ClientCA string }

// On reports whether TLS is spoken.
func (t ServerTLS) On() bool { return t != ServerTLS{} }

// A ClientTLS configures TLS towards a server. Cert, Key and CA are absolute paths of PEM files.
type ClientTLS struct {
	Cert, Key  string // both or neither
	CA         string // empty: what the host trusts
	ServerName string // empty: the host in the server's URL
}

// On reports whether any value is set.
func (t ClientTLS) On() bool { return t != ClientTLS{} }

// An APIClient is the role of clients whose certificates have a name.
type APIClient struct{ Name, Role string }

// Roles of clients, those that may do more later.
const (
	RoleRead     = "read"
	RoleStopOnly = "stop-only"
	RoleOperate  = "operate"
)

var role = oneOf(RoleRead, RoleStopOnly, RoleOperate)

// literal formats c as TOML.
func (c APIClient) literal() string {
	return fmt.Sprintf("{name = %s, role = %s}", literal(c.Name), literal(c.Role))
}

// apiClients parses an array of tables.
func apiClients(items []any) ([]APIClient, error) {
	all := make([]APIClient, 0, len(items))
	for i, item := range items {
		c, err := apiClient(item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		if slices.ContainsFunc(all, func(o APIClient) bool { return o.Name == c.Name }) {
			return nil, fmt.Errorf("item %d: name %q is there twice", i+1, c.Name)
		}
		all = append(all, c)
	}
	return all, nil
}

func apiClient(item any) (c APIClient, err error) {
	table, ok := item.(map[string]any)
	if !ok {
		return c, fmt.Errorf("want a table such as {name = \"nexus\", role = \"operate\"}, got %s", typeName(item))
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		to := map[string]*string{"name": &c.Name, "role": &c.Role}[key]
		value, isText := table[key].(string)
		switch {
		case to == nil:
			return c, fmt.Errorf("unknown key %s; a client has name, role", literal(key))
		case !isText:
			return c, fmt.Errorf("%s: want a string, got %s", key, typeName(table[key]))
		}
		*to = value
	}
	if c.Name == "" {
		return c, errors.New("name: must not be empty")
	}
	if _, err = role(c.Role); err != nil {
		return c, fmt.Errorf("role: %w", err)
	}
	return c, nil
}

// groupName accepts the name of a group of the host.
var groupName = matching(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`, "is not the name of a group")

var dnsName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func serverName(s string) (string, error) {
	if !dnsName.MatchString(s) {
		return "", fmt.Errorf("%q is not a DNS name", s)
	}
	return s, nil
}

// checkAccess checks combinations of values about TLS.
func (c *Config) checkAccess(fail func(key, reason string, args ...any)) {
	t := c.API.TLS
	for _, file := range []struct{ key, path string }{{"cert", t.Cert}, {"key", t.Key}, {"client_ca", t.ClientCA}} {
		if t.On() && file.path == "" {
			fail("api.tls."+file.key, "is missing; [api.tls] needs cert, key and client_ca")
		}
	}
	switch clients := len(c.API.Clients); {
	case t.On() && clients == 0:
		fail("api.clients", "is empty: with [api.tls] every request would be refused")
	case !t.On() && clients > 0:
		fail("api.clients", "needs [api.tls]: without TLS it is not known who a client is")
	}
	n := c.Nexus
	switch {
	case n.TLS.Cert == "" && n.TLS.Key != "":
		fail("nexus.tls.cert", "is missing; cert and key belong together")
	case n.TLS.Cert != "" && n.TLS.Key == "":
		fail("nexus.tls.key", "is missing; cert and key belong together")
	}
	if !n.TLS.On() {
		return
	}
	if i := slices.IndexFunc(n.Addresses, func(a string) bool { return !strings.HasPrefix(a, "https://") }); i >= 0 {
		fail("nexus.addresses", "%q is not an https URL, but [nexus.tls] is set", n.Addresses[i])
	}
	if len(n.DNS) > 0 && n.TLS.ServerName == "" {
		fail("nexus.tls.server_name", "is missing; with nexus.dns it is the name in Nexus's certificate")
	}
}
