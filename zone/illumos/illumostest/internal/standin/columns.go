package standin

import (
	"strings"
)

// A table is output in columns, as dladm and ipadm print it.
type table struct {
	fields []string
	rows   [][]string
}

// show prints the chosen fields (comma-separated; all of them for ""), for
// programs or for people. It returns the exit status.
func (c *call) show(t table, chosen string, parsable bool) int {
	if parsable && (chosen == "" || chosen == "all") {
		return c.complain("%s: option -p requires the output fields to be named with -o", c.name)
	}
	names := t.fields
	if chosen != "" && chosen != "all" {
		names = strings.Split(strings.ToUpper(chosen), ",")
	}
	var columns []int
	for _, name := range names {
		i := indexOf(t.fields, name)
		if i < 0 {
			return c.complain("%s: unknown output field '%s'", c.name, strings.ToLower(name))
		}
		columns = append(columns, i)
	}
	if !parsable {
		c.print("%s", strings.Join(names, "\t"))
	}
	for _, row := range t.rows {
		c.print("%s", joined(row, columns, parsable))
	}
	return 0
}

// joined is one line. A single field is printed as it is; between several, the
// separator is escaped.
func joined(row []string, columns []int, parsable bool) string {
	var values []string
	for _, i := range columns {
		value := row[i]
		switch {
		case !parsable && value == "":
			value = "--"
		case parsable && len(columns) > 1:
			value = strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(value)
		}
		values = append(values, value)
	}
	if parsable {
		return strings.Join(values, ":")
	}
	return strings.Join(values, "\t")
}

func indexOf(all []string, one string) int {
	for i, s := range all {
		if s == one {
			return i
		}
	}
	return -1
}

// flags takes the options off a command line: takesValue are those with one.
// A letter may be repeated; values collects them.
func flags(args []string, takesValue string) (set map[byte]bool, values map[byte][]string, rest []string) {
	set, values = make(map[byte]bool), make(map[byte][]string)
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' {
			rest = append(rest, args[i])
			continue
		}
		for j := 1; j < len(args[i]); j++ {
			letter := args[i][j]
			set[letter] = true
			if strings.IndexByte(takesValue, letter) < 0 {
				continue
			}
			value := args[i][j+1:]
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			values[letter] = append(values[letter], value)
			break
		}
	}
	return set, values, rest
}
