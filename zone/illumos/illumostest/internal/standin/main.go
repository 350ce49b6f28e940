package standin

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A command simulates one program and returns its exit status.
type command func(c *call) int

func commands() map[string]command {
	return map[string]command{
		"zoneadm": zoneadm, "zonecfg": zonecfg, "dladm": dladm, "ipadm": ipadm, "zfs": zfs,
		"svcs": svcs, "svcprop": svcprop, "pkill": pkill, "pgrep": pgrep,
		"opteadm": opteadm,
	}
}

// Names returns the commands that the program simulates.
func Names() []string { return slices.Sorted(maps.Keys(commands())) }

const (
	// stateFile is beside the program and holds the path of the state directory. It
	// is not an environment variable because zone commands run without environment.
	stateFile = ".state"
	// program is the program's own name.
	program = "illumos-standin"
)

// Main runs the program. The command is argv[0] if it is one of Names, else argv[1].
func Main(argv []string) (exit int) {
	orEnd(func() { exit = run(argv) })
	return exit
}

// OnHost reports whether this program belongs to a host.
func OnHost() bool {
	self, _ := os.Executable()
	_, err := os.Stat(filepath.Join(filepath.Dir(self), stateFile))
	return err == nil
}

func run(argv []string) int {
	bin := filepath.Dir(must(os.Executable()))
	h := &host{Store: openStore(string(must(os.ReadFile(filepath.Join(bin, stateFile))))), program: filepath.Join(bin, program)}
	name, args := filepath.Base(argv[0]), argv[1:]
	if commands()[name] == nil && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if run := commands()[name]; run != nil {
		return h.answer(run, name, args)
	}
	switch name {
	case "fault":
		return h.faultCommand(args)
	case "zoneadmd":
		return h.zoneadmd(args[0])
	case "zoneinit":
		return h.zoneinit(args[0])
	case "serve":
		return serve(args[0])
	}
	fmt.Fprintf(os.Stderr, "usage: %s %s|fault [arguments]\n", program, strings.Join(Names(), "|"))
	return 2
}

// A host is the state together with the path of the program.
type host struct {
	*Store
	program string
}

// A call is one run of a command. Its output is buffered so that a fault can corrupt
// it.
type call struct {
	*host
	name string
	args []string
	// Faults are matched by verb and object. zone is the argument of -z.
	verb, object, zone string
	out, err           bytes.Buffer
}

func (h *host) answer(run command, name string, args []string) int {
	c := &call{host: h, name: name, args: args}
	c.target()
	exit := c.perform(run)
	c.corrupt()
	_, _ = io.Copy(os.Stdout, &c.out)
	_, _ = io.Copy(os.Stderr, &c.err)
	return exit
}

func (c *call) perform(run command) int {
	if f := c.apply(c.point(Before)); f != nil {
		return c.fail(f)
	}
	exit := run(c)
	if f := c.apply(c.point(After)); f != nil {
		return c.fail(f)
	}
	return exit
}

// target removes -z zone from the command line and sets zone, verb and object.
func (c *call) target() {
	if i := slices.Index(c.args, "-z"); i >= 0 && i+1 < len(c.args) {
		c.zone = c.args[i+1]
		c.args = slices.Delete(slices.Clone(c.args), i, i+2)
	}
	if len(c.args) > 0 {
		c.verb, _, _ = strings.Cut(c.args[0], " ")
		c.object = c.args[len(c.args)-1]
	}
	if c.zone != "" {
		c.object = c.zone
	}
}

func (c *call) point(when string) point {
	return point{when: when, command: c.name, verb: c.verb, object: c.object}
}

func (c *call) fail(f *Fault) int {
	if f.Text != "" {
		fmt.Fprintln(&c.err, f.Text)
	}
	return f.Exit
}

func (c *call) corrupt() {
	if f := c.take(Garbage, c.point(Before)); f != nil {
		c.out.Reset()
		c.out.WriteString(f.Text)
		if f.Text == "" {
			c.out.WriteString("\x00\xff:::\n\nnot what you expected\x1b[0m")
		}
	}
	if f := c.take(Truncate, c.point(Before)); f != nil {
		c.out.Truncate(c.out.Len() / 2)
	}
}

func (c *call) print(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// errorf prints an error and returns 1, the status of most errors.
func (c *call) errorf(format string, args ...any) int {
	fmt.Fprintf(&c.err, format+"\n", args...)
	return 1
}

// usage reports arguments that are wrong or not simulated.
func (c *call) usage() int {
	c.errorf("usage: %s: %q is wrong, or not simulated", c.name, c.args)
	return 2
}

// A row holds the fields of one line of a table.
type row map[string]string

// show prints the given fields of each row. If the separator is a colon and there is
// more than one field, it escapes colons and backslashes in values.
func (c *call) show(rows []row, fields, separator string) int {
	names := strings.Split(strings.ToLower(fields), ",")
	for _, r := range rows {
		var values []string
		for _, name := range names {
			value, known := r[name]
			if !known {
				return c.errorf("%s: unknown output field '%s'", c.name, name)
			}
			if separator == ":" && len(names) > 1 {
				value = strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(value)
			}
			values = append(values, value)
		}
		c.print("%s", strings.Join(values, separator))
	}
	return 0
}

// flags splits arguments into options and the rest. takesValue lists the options that
// take a value; values maps the others to "".
func flags(args []string, takesValue string) (values map[byte]string, rest []string) {
	values = make(map[byte]string)
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' {
			rest = append(rest, args[i])
			continue
		}
		for _, letter := range []byte(args[i][1:]) {
			values[letter] = ""
			if strings.IndexByte(takesValue, letter) >= 0 && i+1 < len(args) {
				i++
				values[letter] = args[i]
				break
			}
		}
	}
	return values, rest
}

// sorted returns the values of a collection ordered by name.
func sorted[T any](all map[string]*T) (values []*T) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		values = append(values, all[name])
	}
	return values
}
