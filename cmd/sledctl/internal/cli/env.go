package cli

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/term"
)

// An Env is the environment of the commands, except for the agent.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Version is the program's.
	Version string
	// Zone is the local time zone, for --local.
	Zone *time.Location
	// Now is the clock for relative times.
	Now    func() time.Time
	Getenv func(string) string
	// IsTerminal reports whether Out is a terminal, Width and Height are its size.
	IsTerminal    bool
	Width, Height int
	// Size returns the terminal's size now. It is nil if Out is not a terminal.
	Size func() (width, height int)
	// Raw makes In deliver each key at once, uninterpreted, until restore is called. It is
	// nil if In is not a terminal.
	Raw func() (restore func(), err error)
	// Find looks a program up in the PATH. It is nil if no pager is to be found so.
	Find func(name string) (path string, err error)
	// Poll is the polling interval of commands that wait.
	Poll time.Duration
	// Redraw is the interval at which --watch shows its output anew.
	Redraw time.Duration
}

// pollInterval is short for a waiting person and cheap for the agent, which answers from
// memory.
const pollInterval = 200 * time.Millisecond

// Terminal returns the Env of this process.
func Terminal(version string) Env {
	env := Env{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: time.Now, Getenv: os.Getenv, Poll: pollInterval,
		Version: version, Zone: time.Local, Redraw: time.Second, Find: exec.LookPath}
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		env.Raw = func() (func(), error) {
			before, err := term.MakeRaw(in)
			return func() { _ = term.Restore(in, before) }, err
		}
	}
	fd := int(os.Stdout.Fd())
	if env.IsTerminal = term.IsTerminal(fd); env.IsTerminal {
		env.Size = func() (width, height int) {
			width, height, _ = term.GetSize(fd) // 0 is no limit
			return width, height
		}
		env.Width, env.Height = env.Size()
	}
	return env
}

// colors reports whether the output can show colors: on a terminal that supports them,
// unless NO_COLOR is set (no-color.org).
func (e Env) colors() bool {
	return e.IsTerminal && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"
}

// utf8 reports whether the output can show characters beyond ASCII. A serial console in
// the C locale cannot; a file can.
func (e Env) utf8() bool {
	if !e.IsTerminal {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(e.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false
}
