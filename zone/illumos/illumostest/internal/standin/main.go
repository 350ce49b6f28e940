package standin

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names are the commands that the program answers as.
func Names() []string {
	names := make([]string, 0, len(commands()))
	for name := range commands() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A command does its work and returns its exit status.
type command func(c *call) int

func commands() map[string]command {
	return map[string]command{
		"zoneadm": zoneadm, "zonecfg": zonecfg, "dladm": dladm, "ipadm": ipadm, "zfs": zfs, "kstat": kstat,
		"svcs": svcs, "svcprop": svcprop, "svcadm": svcadm, "svccfg": svccfg,
		"zlogin": zlogin, "pkill": pkill, "pgrep": pgrep,
	}
}

// StateFile is beside the program and holds the path of the state directory.
// An environment variable would not do: zone commands are run without any.
const StateFile = ".state"

// Program is the name of the program beside the links to it.
const Program = "illumos-standin"

// Main is the program. argv[0] may be any of Names; else the first argument is.
func Main(argv []string) int {
	defer endInTrouble()
	bin := filepath.Dir(must(os.Executable()))
	dir := must(os.ReadFile(filepath.Join(bin, StateFile)))
	h := &host{Store: Open(strings.TrimSpace(string(dir))), program: filepath.Join(bin, Program)}
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
	fmt.Fprintf(os.Stderr, "usage: illumos-standin %s|fault [arguments]\n", strings.Join(Names(), "|"))
	return 2
}

// A host is the state with the program that serves it.
type host struct {
	*Store
	program string
}

// A call is one run of a command. What it prints is kept to its end, so that a
// fault can spoil it.
type call struct {
	*host
	name     string
	args     []string
	verb     string
	object   string
	zone     string
	out, err bytes.Buffer
}

func (h *host) answer(run command, name string, args []string) int {
	c := &call{host: h, name: name, args: args}
	c.verb, c.object = target(name, args)
	logged := h.logStart(name, args)
	exit := c.perform(run)
	c.spoil()
	_, _ = io.Copy(os.Stdout, &c.out)
	_, _ = io.Copy(os.Stderr, &c.err)
	h.logEnd(logged, exit)
	return exit
}

func (c *call) perform(run command) int {
	if f := c.strike(c.occasion(Before)); f != nil {
		return c.fails(f)
	}
	exit := run(c)
	if f := c.strike(c.occasion(After)); f != nil {
		return c.fails(f)
	}
	return exit
}

func (c *call) occasion(when string) occasion {
	return occasion{when: when, command: c.name, verb: c.verb, object: c.object}
}

func (c *call) fails(f *Fault) int {
	if f.Text != "" {
		fmt.Fprintln(&c.err, f.Text)
	}
	return f.Exit
}

func (c *call) spoil() {
	for _, when := range []string{Before, During, After} {
		o := c.occasion(when)
		if f := c.take(func(f *Fault) bool { return f.Do == Garbage && f.strikes(o) }); f != nil {
			c.out.Reset()
			c.out.WriteString(f.Text)
			if f.Text == "" {
				c.out.WriteString("\x00\xff:::\n\nnot what you expected\x1b[0m")
			}
		}
		if f := c.take(func(f *Fault) bool { return f.Do == Truncate && f.strikes(o) }); f != nil {
			c.out.Truncate(c.out.Len() / 2)
		}
	}
}

func (c *call) print(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// complain prints an error and returns 1, the status of most errors.
func (c *call) complain(format string, args ...any) int {
	fmt.Fprintf(&c.err, format+"\n", args...)
	return 1
}

// usage prints an error and returns 2.
func (c *call) usage(format string, args ...any) int {
	c.complain("%s: "+format, append([]any{c.name}, args...)...)
	return 2
}

// target finds the verb and the object of a command line: what faults are
// matched by.
func target(name string, args []string) (verb, object string) {
	switch name {
	case "zoneadm", "zonecfg":
		for i := 0; i < len(args); i++ {
			switch {
			case args[i] == "-z" && i+1 < len(args):
				i++
				object = args[i]
			case args[i] == "-f" && name == "zonecfg":
				return "-f", object
			case verb == "" && !strings.HasPrefix(args[i], "-"):
				verb, _, _ = strings.Cut(args[i], " ")
			}
		}
		return verb, object
	case "dladm", "ipadm", "zfs":
		if len(args) > 0 {
			verb = args[0]
		}
		if len(args) > 1 {
			object = args[len(args)-1]
		}
		return verb, object
	}
	if i := slices.Index(args, "-z"); i >= 0 && i+1 < len(args) {
		return firstWord(args[i+2:]), args[i+1]
	}
	if name == "zlogin" {
		return "", firstWord(args)
	}
	return firstWord(args), ""
}

func firstWord(args []string) string {
	if i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") }); i >= 0 {
		return args[i]
	}
	return ""
}
