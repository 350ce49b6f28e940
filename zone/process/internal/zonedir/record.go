package zonedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// The names in a zone's directory.
const (
	ConfigFile = "config.json"
	BootFile   = "boot.json"
	ExitFile   = "exit.json"
	RootDir    = "root"
	LogDir     = "log"
	// doomed is what RootDir is called once an uninstall has begun.
	doomed = "root.gone"
	// fresh is what a file is called until it is whole.
	fresh = ".new"
)

// maxRecord bounds what is read of a record, in bytes: far above what any zone
// needs, so that a file that grew by accident cannot fill the memory.
const maxRecord = 1 << 20

// A Config is what a zone was made from and what it was given.
type Config struct {
	Spec  zone.Spec         `json:"spec"`
	Links map[string]string `json:"links"`
}

// A Boot names the process tree of the zone's last boot.
type Boot struct {
	// Init is the tree's first process, as the host sees it.
	Init proc.ID `json:"init"`
	// BootID is the host's boot in which that was so.
	BootID string `json:"boot_id"`
	// PIDNS tells whether Init is the first process of a PID namespace, so that
	// nothing of the zone outlives it.
	PIDNS bool `json:"pid_namespace"`
	// Cgroup is the directory of the zone's control group; empty without one.
	Cgroup string `json:"cgroup,omitempty"`
}

// An Exit is how a server ended.
type Exit struct {
	How string    `json:"how"`
	At  time.Time `json:"at"`
}

// ParseConfig reads a config.json.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("read zone configuration: %w", err)
	}
	if err := zone.ValidName(c.Spec.Name); err != nil {
		return Config{}, fmt.Errorf("read zone configuration: %w", err)
	}
	return c, nil
}

// ParseBoot reads a boot.json.
func ParseBoot(data []byte) (Boot, error) {
	var b Boot
	if err := json.Unmarshal(data, &b); err != nil {
		return Boot{}, fmt.Errorf("read boot record: %w", err)
	}
	if b.Init.PID <= 1 || b.Init.Start == 0 || b.BootID == "" {
		return Boot{}, fmt.Errorf("read boot record: pid %d, start %d, boot id %q name no process",
			b.Init.PID, b.Init.Start, b.BootID)
	}
	return b, nil
}

// ParseExit reads an exit.json.
func ParseExit(data []byte) (Exit, error) {
	var e Exit
	if err := json.Unmarshal(data, &e); err != nil {
		return Exit{}, fmt.Errorf("read exit record: %w", err)
	}
	if e.How == "" {
		return Exit{}, errors.New("read exit record: it says nothing")
	}
	return e, nil
}

// Read reads one record of a zone, with the parser of its file.
func Read[T any](root *os.Root, name string, parse func([]byte) (T, error)) (T, error) {
	var none T
	f, err := openRegular(root, name)
	if err != nil {
		return none, fmt.Errorf("read zone record: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return none, fmt.Errorf("read zone record: %w", err)
	}
	return parse(data)
}

// Write writes one record of a zone: its readers see the old one or the new.
func Write(root *os.Root, name string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write zone record %s: %w", name, err)
	}
	if err := root.WriteFile(name+fresh, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write zone record: %w", err)
	}
	if err := root.Rename(name+fresh, name); err != nil {
		return fmt.Errorf("write zone record: %w", err)
	}
	return nil
}

// openRegular opens a regular file for reading. Anything else of that name, a
// pipe for one, on which an open could wait for ever, is an error.
func openRegular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is %v, want a regular file", name, st.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
