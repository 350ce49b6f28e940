package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the maximum file size in bytes, several times the output of Write. The
// decoder's time grows with the square of the number of keys, and its memory is a few
// hundred times the file's size.
const maxFile = 64 << 10

// Parse parses a file's content; name is the file's name in errors. It fills in defaults
// and uses nothing but data. Its error is an *Error, or several joined.
func Parse(name string, data []byte) (*Config, error) {
	values, errs := decode(data)
	if values == nil {
		return nil, joined(name, errs)
	}
	c, wrong := build(values)
	if errs = append(errs, wrong...); len(errs) > 0 {
		return nil, joined(name, errs)
	}
	return c, nil
}

// decode returns the file's values by key, and an error for each unknown key. It returns no
// values if the file is not TOML. It decodes into a map and not into a struct, because the
// decoder matches a struct's fields regardless of case and stops at the first value of a
// wrong type.
func decode(data []byte) (map[string]any, []*Error) {
	if len(data) > maxFile {
		return nil, []*Error{{Reason: fmt.Sprintf("larger than %d bytes", maxFile)}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // the byte order mark that some editors write
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, []*Error{{Reason: syntaxReason(err)}}
	}
	values := make(map[string]any)
	return values, flatten(values, new(Config).keys(), "", tree)
}

func syntaxReason(err error) string {
	reason := strings.TrimPrefix(err.Error(), "toml: ")
	if syntax := (*toml.DecodeError)(nil); errors.As(err, &syntax) {
		line, _ := syntax.Position()
		return fmt.Sprintf("line %d: %s", line, reason)
	}
	return reason
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// flatten copies the leaves of tree, the content of a table of the file, to values.
func flatten(values map[string]any, keys []key, table string, tree map[string]any) (errs []*Error) {
	for _, word := range slices.Sorted(maps.Keys(tree)) {
		value, name := tree[word], word
		if !bareKey.MatchString(word) {
			name = literal(word)
		}
		if table != "" {
			name = table + "." + name
		}
		inner, isTable := value.(map[string]any)
		switch {
		case slices.ContainsFunc(keys, func(k key) bool { return k.name == name }):
			values[name] = value
		case !slices.ContainsFunc(keys, func(k key) bool { return strings.HasPrefix(k.name, name+".") }):
			errs = append(errs, &Error{Key: name, Reason: "unknown key; " + known(keys, table)})
		case !isTable:
			errs = append(errs, &Error{Key: name, Reason: fmt.Sprintf("want a table, [%s], got %s", name, typeName(value))})
		default:
			errs = append(errs, flatten(values, keys, name, inner)...)
		}
	}
	return errs
}

// known lists the names in a table, to help with a mistyped key.
func known(keys []key, table string) string {
	place, prefix := "the file has ", ""
	if table != "" {
		place, prefix = "["+table+"] has ", table+"."
	}
	var names []string
	for _, k := range keys {
		rest, within := strings.CutPrefix(k.name, prefix)
		name, _, sub := strings.Cut(rest, ".")
		if sub {
			name = "[" + name + "]"
		}
		if within && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return place + strings.Join(names, ", ")
}

const (
	socketName = "admin.sock"
	// maxSocketPath is the longest path of a Unix socket in bytes. sun_path takes
	// 104 with the final NUL on macOS and the BSDs, 108 on Linux and illumos; one
	// limit everywhere keeps a file valid when it moves to another host.
	maxSocketPath = 103
)

// build makes a Config from values, which are by key, and the defaults of all other keys.
// It returns all errors in the values.
func build(values map[string]any) (*Config, []*Error) {
	c := new(Config)
	var errs []*Error
	for _, k := range c.keys() {
		preset := presets()[k.name]
		value, ok := values[k.name]
		if !ok {
			value = preset
		}
		if err := k.set(value, preset); err != nil {
			errs = append(errs, &Error{Key: k.name, Reason: err.Error()})
		}
	}
	c.foundByName(values)
	return c, append(errs, c.complete(errs)...)
}

// complete fills in what depends on other values and checks combinations of values, except
// for those that are invalid by themselves.
func (c *Config) complete(wrong []*Error) (errs []*Error) {
	bad := func(keys ...string) bool {
		return slices.ContainsFunc(wrong, func(e *Error) bool { return slices.Contains(keys, e.Key) })
	}
	fail := func(key, reason string, args ...any) {
		errs = append(errs, &Error{Key: key, Reason: fmt.Sprintf(reason, args...)})
	}
	derived := c.Admin.Socket == ""
	if derived {
		c.Admin.Socket = filepath.Join(c.StateDir, socketName)
	}
	switch n := len(c.Admin.Socket); {
	case n <= maxSocketPath || bad("state_dir", "admin.socket"):
	case derived:
		fail("state_dir", "the admin socket in it would have a path of %d bytes, at most %d are possible; "+
			"set admin.socket to a shorter path", n, maxSocketPath)
	default:
		fail("admin.socket", "%d bytes long, but a socket's path has at most %d", n, maxSocketPath)
	}
	if w := c.Watchdog; w.StopGrace > w.MaxStopGrace && !bad("watchdog.stop_grace", "watchdog.max_stop_grace") {
		fail("watchdog.stop_grace", "%s is longer than watchdog.max_stop_grace, %s",
			formatDuration(w.StopGrace), formatDuration(w.MaxStopGrace))
	}
	if !slices.ContainsFunc(wrong, func(e *Error) bool {
		return strings.HasPrefix(e.Key, "api.") || strings.HasPrefix(e.Key, "nexus.")
	}) {
		c.checkAccess(fail)
	}
	if n := c.Nexus; n.RetryInitial > n.RetryMax && !bad("nexus.retry_initial", "nexus.retry_max") {
		fail("nexus.retry_initial", "%s is longer than nexus.retry_max, %s",
			formatDuration(n.RetryInitial), formatDuration(n.RetryMax))
	}
	return errs
}
