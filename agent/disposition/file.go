package disposition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sledagent/sledagent/internal/ownfile"
)

// maxFile bounds what is read of a file. The sled API takes configurations up to 1 MiB.
const maxFile = 2 << 20

func readFile(path string) ([]byte, error) {
	f, err := ownfile.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, err
}

// write replaces a file. After a power cut either the old or the new one is there, whole.
func (s *Store) write(file string, value any) error {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false) // a configuration stays as it was sent
	if err := out.Encode(value); err != nil || s.dir == "" {
		return err
	}
	temp := s.path(file + ".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := ownfile.Open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(file)); err != nil {
		return err
	}
	return ownfile.SyncDir(s.dir)
}

func (s *Store) remove(file string) error {
	if s.dir == "" {
		return nil
	}
	if err := os.Remove(s.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return ownfile.SyncDir(s.dir)
}
