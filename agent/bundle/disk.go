package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/zone"
)

const (
	suffix = ".tar.gz"
	// unfinished is the suffix of an archive that is being written.
	unfinished = ".tmp"
	// maxFound bounds the entries that are looked at in the directory at the start.
	maxFound = 20_000
)

// fileName is a bundle's file, relative to the directory. The zone's name is valid.
func fileName(id ID) string { return id.Zone + "/" + id.Bundle.String() + suffix }

// open opens the directory and looks for bundles, if that was not done yet.
func (s *Store) open() {
	if s.root != nil {
		return
	}
	all, root, err := s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble = err; err == nil {
		s.root, s.all = root, all
	}
}

func (s *Store) look() (map[ID]entry, *os.Root, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, nil, err
	}
	f := finder{s: s, root: root, all: map[ID]entry{}}
	if err := f.read(".", f.top); err != nil {
		_ = root.Close()
		return nil, nil, err
	}
	if f.strange > 0 {
		s.log.Warn().Int("files", f.strange).Str("dir", s.dir).Msg("files are not zone bundles; left alone")
	}
	return f.all, root, nil
}

// A finder looks for bundles and removes what an agent that was killed has left.
type finder struct {
	s    *Store
	root *os.Root
	all  map[ID]entry
	seen int
	// strange counts files that are not bundles.
	strange int
}

// read calls each for the entries of a directory, as far as maxFound allows.
func (f *finder) read(dir string, each func(fs.DirEntry)) error {
	open, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	defer open.Close()
	for f.seen < maxFound {
		some, err := open.ReadDir(min(1000, maxFound-f.seen))
		f.seen += len(some)
		for _, e := range some {
			each(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// top handles an entry of the directory itself: a zone, or an archive without a name.
func (f *finder) top(e fs.DirEntry) {
	switch name := e.Name(); {
	case e.IsDir() && zone.ValidName(name) == nil:
		if err := f.read(name, func(e fs.DirEntry) { f.bundle(name, e) }); err != nil {
			f.s.log.Warn().Err(err).Str("zone", name).Msg("failed to look for zone bundles")
		}
		_ = f.root.Remove(name) // does nothing unless it is empty
	case strings.HasSuffix(name, unfinished) && e.Type().IsRegular():
		_ = f.root.Remove(name)
	default:
		f.strange++
	}
}

// bundle adds a bundle. One whose metadata is damaged is kept as the least important, so
// that it can be read and deleted like others.
func (f *finder) bundle(owner string, e fs.DirEntry) {
	name, ok := strings.CutSuffix(e.Name(), suffix)
	id, err := uuid.Parse(name)
	if !ok || err != nil || id.String() != name || !e.Type().IsRegular() {
		f.strange++
		return
	}
	found := entry{Metadata: Metadata{ID: ID{owner, id}, Cause: Other}}
	file, err := openFile(f.root, fileName(found.ID))
	if err != nil {
		f.strange++
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		f.strange++
		return
	}
	found.Created, found.size = info.ModTime().UTC(), info.Size()
	if m, err := unpack(file, found.ID); err == nil {
		found.Metadata = m
	} else {
		f.s.log.Warn().Err(err).Str("zone", owner).Stringer("bundle", id).Msg("zone bundle is damaged")
	}
	f.all[found.ID] = found
}

// openFile opens a regular file. A FIFO in its place does not block it.
func openFile(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// write writes an archive and returns its size. The directory is not synced: a crash of
// the host may lose the bundle, but leaves no half of one under its name.
func (s *Store) write(m Metadata, e Evidence) (size int64, err error) {
	if err := zone.ValidName(e.Zone); err != nil {
		return 0, err
	}
	temporary := m.ID.Bundle.String() + unfinished
	defer func() {
		if err != nil {
			_ = s.root.Remove(temporary)
			_ = s.root.Remove(m.ID.Zone) // does nothing unless it is empty
		}
	}()
	if size, err = s.writeFile(temporary, m, e); err != nil {
		return 0, err
	}
	if err := s.root.Mkdir(m.ID.Zone, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return 0, err
	}
	return size, s.root.Rename(temporary, fileName(m.ID))
}

func (s *Store) writeFile(name string, m Metadata, e Evidence) (size int64, err error) {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	err = pack(file, m, e)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		size, err = file.Seek(0, io.SeekCurrent)
	}
	return size, errors.Join(err, file.Close())
}

// remove deletes a bundle from disk and from the list.
func (s *Store) remove(id ID) error {
	if err := s.root.Remove(fileName(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_ = s.root.Remove(id.Zone) // does nothing unless it is empty
	s.mu.Lock()
	delete(s.all, id)
	s.mu.Unlock()
	return nil
}
