package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
)

// defaultFile stands for an empty file: every key with its default, below a comment with its
// meaning. Write and the guide's table follow it.
//
//go:embed default.toml
var defaultFile string

// presets returns the default of every key by its name.
var presets = sync.OnceValue(func() map[string]any {
	values, errs := decode([]byte(defaultFile))
	if len(errs) > 0 {
		panic(errs[0])
	}
	return values
})

// Write prints c as a file that Parse reads as the same Config: every key with its meaning,
// even if it has its default. c must come from Load or Parse; its values may have been
// replaced by other valid ones.
func (c *Config) Write(w io.Writer) error {
	literals := make(map[string]string)
	for _, k := range c.keys() {
		literals[k.name] = literal(k.get())
	}
	var b strings.Builder
	table := ""
	for line := range strings.Lines(defaultFile) {
		name, _, isKey := strings.Cut(line, " = ")
		switch {
		case line[0] == '#':
		case line[0] == '[':
			table = strings.Trim(line, "[]\n") + "."
		case isKey:
			line = name + " = " + literals[table+name] + "\n"
		}
		b.WriteString(line)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// literal formats a string, a slice of strings or an integer as TOML. The encoder of go-toml
// chooses single or double quotes for each value; this always uses double ones. JSON strings
// are TOML strings, except for U+007F.
func literal(value any) string {
	if own, ok := value.(interface{ literal() string }); ok {
		return own.literal()
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = literal(v.Index(i).Interface())
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // it fails for no string and no integer
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}
