// Command illumos-standin simulates zoneadm, zonecfg, dladm and the other illumos
// commands that a zone backend runs, on any Unix system. argv[0] or the first argument
// selects the command. A file named .state beside the program holds the path of the
// simulated host's state. Under its own name the program creates and closes hosts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

const usage = `Usage:
  illumos-standin install [-o toml|json] DIR [SERVER [ARGUMENT]...]
        Create an illumos host in DIR, which must be empty or absent. Prints
        the configuration with which a sled-agent uses it. SERVER runs in each
        zone, by default: propolis-sim run {addr}
        {addr} {ip} {port} {zone} {root} are replaced. SERVER is an absolute
        path, or found beside illumos-standin, or in PATH.
  illumos-standin close DIR
        Kill all processes of the host. DIR is kept.
  DIR/bin/illumos-standin fault [JSON | release [ID]]
        List the faults of the host, inject one, or release one or all.
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

// closeBudget bounds the wait for the host's processes to end.
const closeBudget = 10 * time.Second

func main() {
	args := append(os.Args[1:], "")
	switch {
	case slices.Contains(standin.Names(), filepath.Base(os.Args[0])):
		os.Exit(standin.Main(os.Args))
	case args[0] == "install":
		os.Exit(status(install(os.Stdout, os.Args[2:])))
	case args[0] == "close":
		os.Exit(status(closeHost(os.Args[2:])))
	case slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
		os.Exit(status(help(os.Stdout)))
	case !standin.OnHost():
		os.Exit(status(usageError("this program belongs to no host: install one")))
	}
	os.Exit(standin.Main(os.Args))
}

func help(out io.Writer) error {
	_, err := io.WriteString(out, usage)
	return err
}

// addresses are the host's, one of each family that servers can use: the agent uses
// one of them as a zone's gateway.
var addresses = []standin.Address{
	{Name: "underlay0/sled4", Type: "static", Addr: "127.0.0.1/8"},
	{Name: "underlay0/sled6", Type: "static", Addr: "fd00:1122:3344:101::1/64"},
}

// install creates a host and prints the configuration for it.
func install(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("install", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error has the message
	format := flags.String("o", "toml", "")
	err := flags.Parse(args)
	dir, argv := flags.Arg(0), flags.Args()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(out)
	case err != nil:
		return usageError("install: " + err.Error())
	case *format != "toml" && *format != "json":
		return usageError(fmt.Sprintf("install: -o %s: must be toml or json", *format))
	case dir == "":
		return usageError("install: DIR is missing")
	case len(argv) == 1:
		argv = append(argv, "propolis-sim", "run", "{addr}")
	}
	if argv[1], err = server(argv[1]); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	h, err := standin.Make(dir, standin.Options{Server: argv[1:], Addresses: addresses}, copySelf)
	if err != nil {
		return err
	}
	return show(out, h, *format)
}

// server returns the path of the program that runs in each zone.
func server(name string) (path string, err error) {
	switch {
	case filepath.IsAbs(name):
		path, err = exec.LookPath(name)
	case strings.ContainsRune(name, filepath.Separator):
		return "", usageError(fmt.Sprintf("install: server %s: must be an absolute path or a name", name))
	default:
		if self, e := os.Executable(); e == nil {
			path, err = exec.LookPath(filepath.Join(filepath.Dir(self), name))
		}
		if path == "" || err != nil {
			path, err = exec.LookPath(name)
		}
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("find server of the zones: %w", err)
	}
	return path, nil
}

// copySelf copies this program to path.
func copySelf(path string) (err error) {
	name, err := os.Executable()
	if err != nil {
		return err
	}
	self, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, self, 0o755)
}

// show prints the section [zones.illumos] of a configuration that uses the host.
func show(out io.Writer, h *standin.Host, format string) (err error) {
	if format == "json" {
		return json.NewEncoder(out).Encode(map[string]any{
			"command_path": h.BinDir(), "image": h.Images(), "vmmctl": "", "zone_root": h.ZoneRoot()})
	}
	text := func(s string) string { // a JSON string is a TOML string
		quoted, e := json.Marshal(s)
		err = errors.Join(err, e)
		return string(quoted)
	}
	config := fmt.Sprintf("[zones]\n  backend = \"illumos\"\n  [zones.illumos]\n    command_path = %s\n    image = [%s, %s]\n"+
		"    vmmctl = \"\"\n    zone_root = %s\n", text(h.BinDir()), text(h.Images()[0]), text(h.Images()[1]), text(h.ZoneRoot()))
	if err == nil {
		_, err = io.WriteString(out, config)
	}
	return err
}

// closeHost closes the host in the directory.
func closeHost(args []string) error {
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		return usageError(fmt.Sprintf("close: one DIR is required, got %q", args))
	}
	h, err := standin.OpenHost(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeBudget)
	defer cancel()
	return h.Close(ctx)
}

// A usageError is an error in the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// status prints err and returns the exit status: 0 for nil, 2 for a usageError, else 1.
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
