package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile is the size of the largest file that is read, in bytes: far more than
// any configuration needs, and little enough to hold.
const maxFile = 1 << 20

// Load reads the file at path. Its errors are of type *Error.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		reason := err
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
			reason = pathErr.Err
		}
		return nil, &Error{File: path, Reason: reason.Error(), cause: err}
	}
	return Parse(path, data)
}

// read reads no more of a file than it takes to see that it is too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse reads a file's content; name is what its errors call the file. It fills
// in defaults and looks at nothing outside of data. Its errors are of type *Error.
func Parse(name string, data []byte) (*Config, error) {
	c, err := parse(data)
	if err != nil {
		err.File = name
		return nil, err
	}
	return c, nil
}

func parse(data []byte) (*Config, *Error) {
	values, err := decode(data)
	if err != nil {
		return nil, err
	}
	c := Default()
	c.Admin.Socket = ""
	for _, f := range fields {
		value, ok := values[f.key]
		if !ok {
			continue
		}
		if err := f.set(c, value); err != nil {
			return nil, &Error{Key: f.key, Reason: err.Error()}
		}
	}
	if err := c.settle(); err != nil {
		return nil, err
	}
	return c, nil
}

// decode returns the values of the file by their dotted keys. It goes by way of
// a map and not of struct tags, because a struct's fields match keys regardless
// of their case, and because an error can then always name its key.
func decode(data []byte) (map[string]any, *Error) {
	if len(data) > maxFile {
		return nil, &Error{Reason: fmt.Sprintf("larger than %d bytes", maxFile)}
	}
	if line := tooDeep(data); line > 0 {
		return nil, &Error{Reason: fmt.Sprintf("line %d: nested too deeply", line)}
	}
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, &Error{Reason: syntaxReason(err)}
	}
	values := make(map[string]any, len(fields))
	return values, flatten(values, nil, tree)
}

func syntaxReason(err error) string {
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %s", syntax.Position.Line, syntax.Message)
}

// flatten moves the leaves of tree, the content of the table at path, to values.
func flatten(values map[string]any, path toml.Key, tree map[string]any) *Error {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		at := append(slices.Clone(path), name)
		key, value := at.String(), tree[name]
		switch table, isTable := value.(map[string]any); {
		case isField(key):
			values[key] = value
		case !isTable && isSection(key):
			return &Error{Key: key, Reason: fmt.Sprintf("want a table, [%s], got %s", key, kind(value))}
		case !isSection(key):
			return &Error{Key: key, Reason: "unknown key; " + known(path.String())}
		default:
			if err := flatten(values, at, table); err != nil {
				return err
			}
		}
	}
	return nil
}

func isField(key string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.key == key })
}

func isSection(key string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return strings.HasPrefix(f.key, key+".") })
}

// known lists what there is in a table, for whoever mistyped a key of it.
func known(table string) string {
	var names []string
	for _, f := range fields {
		rest := f.key
		if table != "" {
			var within bool
			if rest, within = strings.CutPrefix(f.key, table+"."); !within {
				continue
			}
		}
		name, _, sub := strings.Cut(rest, ".")
		if sub {
			name = "[" + name + "]"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	place := "the file has "
	if table != "" {
		place = "[" + table + "] has "
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

// settle fills in what depends on other values and checks what several values
// have to do with each other.
func (c *Config) settle() *Error {
	if err := c.settleSocket(); err != nil {
		return err
	}
	if w := c.Watchdog; w.StopGrace > w.MaxStopGrace {
		return &Error{Key: "watchdog.stop_grace", Reason: fmt.Sprintf("%s is longer than watchdog.max_stop_grace, %s",
			formatDuration(w.StopGrace), formatDuration(w.MaxStopGrace))}
	}
	if n := c.Nexus; n.RetryInitial > n.RetryMax {
		return &Error{Key: "nexus.retry_initial", Reason: fmt.Sprintf("%s is longer than nexus.retry_max, %s",
			formatDuration(n.RetryInitial), formatDuration(n.RetryMax))}
	}
	return nil
}

func (c *Config) settleSocket() *Error {
	if c.Admin.Socket == "" {
		c.Admin.Socket = filepath.Join(c.StateDir, socketName)
		if n := len(c.Admin.Socket); n > maxSocketPath {
			return &Error{Key: "state_dir", Reason: fmt.Sprintf(
				"the admin socket in it would have a path of %d bytes, at most %d are possible; set admin.socket to a shorter path",
				n, maxSocketPath)}
		}
	}
	if n := len(c.Admin.Socket); n > maxSocketPath {
		return &Error{Key: "admin.socket", Reason: fmt.Sprintf(
			"%d bytes long, but a socket's path has at most %d", n, maxSocketPath)}
	}
	return nil
}
