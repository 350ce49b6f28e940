package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/hostdir"
	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// addresses are those of the host, of each family that a server's address may
// be of: the agent routes a zone through one of them.
var addresses = []standin.Address{
	{Name: "underlay0/sled4", Type: "static", Addr: "127.0.0.1/8"},
	{Name: "underlay0/sled6", Type: "static", Addr: "fd00:1122:3344:101::1/64"},
}

// A section is [zones.illumos] of a configuration that uses the host.
type section struct {
	CommandPath string   `json:"command_path"`
	VMMCtl      string   `json:"vmmctl"`
	ZoneRoot    string   `json:"zone_root"`
	Image       []string `json:"image"`
}

// install makes a host and prints what a configuration needs to use it.
func install(out io.Writer, args []string) error {
	format, dir, argv, err := installArgs(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(out)
	case err != nil:
		return err
	}
	if argv[0], err = server(argv[0]); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	h, err := hostdir.Make(dir, standin.Options{Server: argv, Addresses: addresses}, copySelf)
	if err != nil {
		return err
	}
	return format(out, section{CommandPath: h.BinDir(), ZoneRoot: h.ZoneRoot(), Image: h.Images()})
}

// A printer prints a section.
type printer func(io.Writer, section) error

// installArgs takes a command line apart; the server's argv is never empty. The
// error is flag.ErrHelp if help is asked for.
func installArgs(args []string) (format printer, dir string, argv []string, err error) {
	flags := flag.NewFlagSet("install", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says what is wrong
	o := flags.String("o", "toml", "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, "", nil, err
	case err != nil:
		return nil, "", nil, usageError("install: " + err.Error())
	}
	format, ok := map[string]printer{"toml": printTOML, "json": printJSON}[*o]
	switch argv = flags.Args(); {
	case !ok:
		return nil, "", nil, usageError(fmt.Sprintf("install: -o %s: want toml or json", *o))
	case len(argv) == 0 || argv[0] == "":
		return nil, "", nil, usageError("install: want a directory")
	}
	dir, argv = argv[0], argv[1:]
	if len(argv) == 0 {
		argv = []string{"propolis-sim", "run", "{addr}"}
	}
	return format, dir, argv, nil
}

// server returns the path of the program that runs in each zone.
func server(name string) (path string, err error) {
	if filepath.IsAbs(name) {
		path, err = exec.LookPath(name)
	} else if strings.ContainsRune(name, filepath.Separator) {
		return "", usageError(fmt.Sprintf("install: server %s: want an absolute path or a name", name))
	} else {
		path, err = besideOrInPath(name)
	}
	if err != nil {
		return "", fmt.Errorf("find the server of the zones: %w", err)
	}
	return path, nil
}

func besideOrInPath(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// copySelf makes a copy of this program at path.
func copySelf(path string) (err error) {
	name, err := os.Executable()
	if err != nil {
		return err
	}
	self, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = self.Close() }()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, self)
	return errors.Join(err, to.Close())
}

func printJSON(out io.Writer, s section) error { return json.NewEncoder(out).Encode(s) }

func printTOML(out io.Writer, s section) error {
	type table = map[string]any
	return toml.NewEncoder(out).Encode(table{"zones": table{"backend": "illumos", "illumos": table{
		"command_path": s.CommandPath, "vmmctl": s.VMMCtl, "zone_root": s.ZoneRoot, "image": s.Image}}})
}
