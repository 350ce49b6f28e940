// Command illumos-standin answers as zoneadm, zonecfg, dladm and the other
// illumos commands that a zone backend runs, on any Unix system. It goes by the
// name it is called by, or by its first argument. The state of the host that it
// makes believe is in the directory that a file named .state beside it names.
// Called by its own name it makes such hosts, and takes them down.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

const usage = `Usage:
  illumos-standin install [-o toml|json] DIR [SERVER [ARGUMENT]...]
        Make an illumos host in DIR, which is made if absent and must be empty.
        Prints what a sled-agent is to be configured with to use it. SERVER
        runs in each zone, by default: propolis-sim run {addr}
        {addr} {ip} {port} {zone} {root} are replaced. SERVER is an absolute
        path, or found beside illumos-standin, or in PATH.
  illumos-standin close DIR
        Take the host down: kill all that it has started. DIR stays.
  DIR/bin/illumos-standin fault [JSON | release [ID]]
        List what is to go wrong on the host, add to it, or take it away.
  DIR/bin/zoneadm, DIR/bin/dladm, ...
        The commands of the host.

Example:
  $ echo 'state_dir = "/tmp/sled4-state"' >sled-agent.toml
  $ illumos-standin install /tmp/sled4 >>sled-agent.toml
  $ sled-agent run --config sled-agent.toml &
  $ /tmp/sled4/bin/zoneadm list -cip
  $ /tmp/sled4/bin/illumos-standin fault '{"Do":"stuck","State":"down"}'
  $ illumos-standin close /tmp/sled4
`

func main() {
	if own := ownCommand(os.Args); own != nil {
		os.Exit(status(own(os.Stdout)))
	}
	os.Exit(standin.Main(os.Args))
}

// ownCommand returns what to do for a command line that is none of a host's, else nil.
func ownCommand(argv []string) func(out io.Writer) error {
	if slices.Contains(standin.Names(), filepath.Base(argv[0])) {
		return nil
	}
	first, rest := "", argv[1:]
	if len(rest) > 0 {
		first, rest = rest[0], rest[1:]
	}
	switch first {
	case "install":
		return func(out io.Writer) error { return install(out, rest) }
	case "close":
		return func(io.Writer) error { return closeHost(rest) }
	case "help", "-h", "-help", "--help":
		return help
	}
	if !onHost() {
		return func(io.Writer) error { return usageError("this is not the program of a host: install one") }
	}
	return nil
}

// onHost tells whether this program is that of a host.
func onHost() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(self), standin.StateFile))
	return err == nil
}

func help(out io.Writer) error {
	_, err := io.WriteString(out, usage)
	return err
}

// A usageError is a command line that cannot be understood.
type usageError string

func (e usageError) Error() string { return string(e) }

// status reports err and returns the exit status: 0, 1 if it could not be done,
// 2 on bad usage.
func status(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "illumos-standin:", err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintln(os.Stderr, "See illumos-standin help.")
		return 2
	}
	return 1
}
