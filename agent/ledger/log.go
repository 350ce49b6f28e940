package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sledagent/sledagent/internal/ownfile"
)

const (
	// chunk is the unit by which a log grows.
	chunk = 64 << 10
	// minRewrite is the minimum length of a log that is rewritten to shorten it.
	minRewrite = 16 << 20
)

// A logFile is a log open for writing. It is rewritten before the first batch of a
// process, after a failure that cannot be undone, and when it has become long.
type logFile struct {
	path string
	f    *os.File // nil: the file must be rewritten
	end  int64    // end of the last batch
	size int64    // of the file; zeroes from end on
	base int64    // length when it was rewritten
}

// usable reports whether a batch can be appended: the file was not truncated.
func (l *logFile) usable() bool {
	if l.f == nil {
		return false
	}
	info, err := l.f.Stat()
	return err == nil && info.Size() == l.size
}

// long reports whether most of the log is outdated and it should be rewritten.
func (l *logFile) long() bool { return l.end > max(minRewrite, 4*l.base) }

// padded returns data padded with zeroes to a multiple of the chunk size.
func padded(data []byte, at int64) (_ []byte, size int64) {
	size = ((at+int64(len(data)))/chunk + 1) * chunk
	return append(data, make([]byte, size-at-int64(len(data)))...), size
}

// append writes a batch durably, or leaves the file as it was.
//
// A file that must grow is first extended with zeroes, so that a truncated file can be
// distinguished from one whose end was not written.
func (l *logFile) append(batch []byte) error {
	data, end, size := batch, l.end+int64(len(batch)), l.size
	var err error
	if end >= size {
		data, size = padded(batch, l.end)
		// The zeroes are on disk first: a file whose data is newer than its size
		// looks as if it had been cut off.
		if err = l.f.Truncate(size); err == nil {
			err = datasync(l.f)
		}
	}
	if err == nil {
		_, err = l.f.WriteAt(data, l.end)
	}
	if err == nil {
		err = datasync(l.f)
	}
	if err == nil {
		l.end, l.size = end, size
		return nil
	}
	if l.undo() != nil {
		l.forget()
	}
	return err
}

// undo removes what an append has left behind the end. At every moment the last byte
// of the file is zero.
func (l *logFile) undo() error {
	if _, err := l.f.WriteAt([]byte{0}, l.end); err != nil {
		return err
	}
	return errors.Join(l.f.Truncate(l.end+1), l.f.Truncate(l.size))
}

// replace rewrites the log with one batch. If keep is not empty, the old file is kept
// under that name. There is a file at path at every moment: without one, an agent would
// create an empty ledger.
func (l *logFile) replace(batch []byte, keep string) (err error) {
	temp := l.path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := ownfile.Open(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	end := headerLen + int64(len(batch))
	data, size := padded(append(header(end), batch...), 0)
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err == nil && keep != "" {
		if err = os.Link(l.path, keep); errors.Is(err, fs.ErrExist) {
			err = nil // kept by an earlier attempt
		}
	}
	if err == nil {
		err = os.Rename(temp, l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(temp))
	}
	l.forget()
	if err := ownfile.SyncDir(filepath.Dir(l.path)); err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.end, l.size, l.base = f, end, size, end
	return nil
}

// forget closes the file; the next append must be preceded by replace.
func (l *logFile) forget() {
	if l.f != nil {
		_ = l.f.Close() // its content is synced or not needed
		l.f = nil
	}
}
