package config

import (
	"fmt"
	"io"
	"strings"
)

// Write prints c as a file that Parse accepts and reads as the same Config:
// every key, also those that have their default. c must come from Load, Parse
// or Default, perhaps with values changed for others that the file could hold.
func (c *Config) Write(w io.Writer) error {
	var b strings.Builder
	section := ""
	for _, f := range fields {
		table, name := splitKey(f.key)
		if table != section {
			section = table
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		fmt.Fprintf(&b, "%s = %s\n", name, f.literal(c))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// splitKey separates a key's table, empty for the top level, from its name.
func splitKey(key string) (table, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}
