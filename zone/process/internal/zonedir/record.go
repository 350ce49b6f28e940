package zonedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
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
	// retiredRoot is the name of RootDir once an uninstall has begun.
	retiredRoot = "root.gone"
	// fresh and a random number end the name of a file that is not complete.
	fresh = ".new-"
)

// maxRecord bounds what is read of a record, in bytes, so that a huge file cannot fill
// the memory. It is far above what any zone needs.
const maxRecord = 1 << 20

// A Config holds the arguments and results of a zone's Create.
type Config struct {
	Spec  zone.Spec         `json:"spec"`
	Links map[string]string `json:"links"`
}

// A Boot names the process tree of the zone's last boot.
type Boot struct {
	// Init is the tree's first process, with its pid on the host.
	Init proc.ID `json:"init"`
	// PIDNS reports whether Init is the first process of a PID namespace, so that
	// no process of the zone outlives it.
	PIDNS bool `json:"pid_namespace"`
	// Cgroup is the directory of the zone's control group; empty if it has none.
	Cgroup string `json:"cgroup,omitempty"`
	// Tasks is the directory of the group that counts the zone's tasks, if that is a
	// different one.
	Tasks string `json:"tasks,omitempty"`
	// Home is the path of the control group of the zone's processes, if the zone has
	// none of its own; empty if unknown.
	Home string `json:"home,omitempty"`
	// Dir is the zone's directory in which the record was written. A record in
	// another directory is a copy.
	Dir Dir `json:"dir"`
}

// A Dir identifies a directory by its inode within one boot of the host, independent of
// its path.
type Dir struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// Identify returns the identity of root.
func Identify(root *os.Root) (Dir, error) {
	st, err := root.Stat(".")
	if err != nil {
		return Dir{}, fmt.Errorf("look at zone's directory: %w", err)
	}
	return identify(st), nil
}

func identify(st fs.FileInfo) Dir {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return Dir{Device: uint64(sys.Dev), Inode: sys.Ino}
	}
	return Dir{}
}

// An Exit records how and when a server ended.
type Exit struct {
	How string    `json:"how"`
	At  time.Time `json:"at"`
}

// ParseConfig parses a config.json.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("read zone configuration: %w", err)
	}
	if err := zone.ValidName(c.Spec.Name); err != nil {
		return Config{}, fmt.Errorf("read zone configuration: %s", plain.Line(err.Error(), maxHow))
	}
	return c, nil
}

// ParseBoot parses a boot.json. The id of the host's boot in records of earlier
// versions is ignored.
func ParseBoot(data []byte) (Boot, error) {
	var b Boot
	if err := json.Unmarshal(data, &b); err != nil {
		return Boot{}, fmt.Errorf("read boot record: %w", err)
	}
	if b.Init.PID <= 1 || b.Init.Start == 0 {
		return Boot{}, fmt.Errorf("read boot record: pid %d, start %d identify no process", b.Init.PID, b.Init.Start)
	}
	return b, nil
}

// maxHow bounds Exit.How, in bytes.
const maxHow = 200

// ParseExit parses an exit.json. A server may have forged its content.
func ParseExit(data []byte) (Exit, error) {
	var e Exit
	if err := json.Unmarshal(data, &e); err != nil {
		return Exit{}, fmt.Errorf("read exit record: %w", err)
	}
	e.How = plain.Line(e.How, maxHow)
	if e.How == "" {
		return Exit{}, errors.New("read exit record: how is empty")
	}
	return e, nil
}

// ErrRecord: the file is not a valid record. Reading it again gives the same result.
var ErrRecord = errors.New("no usable record")

// Read reads one record of a zone with the parser of its file. The error is
// fs.ErrNotExist if there is none, ErrRecord if it is not valid; any other error means
// that the content is unknown.
func Read[T any](root *os.Root, name string, parse func([]byte) (T, error)) (T, error) {
	var none T
	f, err := openRegular(root, name)
	if err != nil {
		return none, fmt.Errorf("read zone record: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return none, fmt.Errorf("read zone record: %w", err)
	}
	if len(data) > maxRecord {
		return none, fmt.Errorf("read zone record: %w: %s is longer than %d bytes", ErrRecord, name, maxRecord)
	}
	record, err := parse(data)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return record, nil
}

// Write replaces one record of a zone atomically. It writes to a new file, so it never
// writes through something that a server has put in the record's place.
func Write(root *os.Root, name string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write zone record %s: %w", name, err)
	}
	temp := name + fresh + strconv.FormatUint(rand.Uint64(), 36)
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write zone record: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
		return fmt.Errorf("write zone record: %w", err)
	}
	return nil
}

// Forget removes one record. A directory of that name is left to Strip.
func Forget(root *os.Root, name string) error {
	st, err := root.Lstat(name)
	if err == nil && !st.IsDir() {
		err = root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove zone record: %w", err)
	}
	return nil
}

// openRegular opens a regular file for reading. Anything else is ErrRecord, such as a
// symbolic link, or a pipe, whose open could block for ever.
func openRegular(root *os.Root, name string) (*os.File, error) {
	st, err := root.Lstat(name)
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is %v, want a regular file", ErrRecord, name, st.Mode().Type())
	}
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	st, err = f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is %v, want a regular file", ErrRecord, name, st.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
