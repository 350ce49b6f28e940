package bootclock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

const (
	// fileName is the name of the file with the boot's id.
	fileName = "sled-agent.boot"
	// fileScheme begins the ids made here.
	fileScheme = "file:"
)

// fileID returns the id that dir holds, or makes one. dir must be writable by its owner
// only, and in a file system that is empty after each boot. The id then does not depend
// on a clock. Processes that make one concurrently get the same id.
func fileID(dir string) (string, error) {
	path := filepath.Join(dir, fileName)
	id, err := readID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := makeID(path); err != nil {
		return "", err
	}
	return readID(path)
}

// makeID makes the file atomically, unless it exists.
func makeID(path string) error {
	id := uuid.NewString()
	temp := path + "." + id
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(id + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		if err = os.Link(temp, path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, os.Remove(temp))
}

// readID reads the file. Something that is not a file of this user, or has other
// content, is an error and is not replaced: it proves nothing about this boot.
func readID(path string) (string, error) {
	// A FIFO without a writer must not keep the agent from starting.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return "", fmt.Errorf("%s is not a file that only this user can write: mode %o, owner %d", path, st.Mode, st.Uid)
	}
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return "", err
	}
	id, ok := strings.CutSuffix(string(text), "\n")
	if u, err := uuid.Parse(id); !ok || err != nil || u == uuid.Nil {
		return "", fmt.Errorf("%s does not hold a boot's UUID: %q", path, text)
	}
	return fileScheme + id, nil
}
