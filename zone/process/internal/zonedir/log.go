package zonedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// LogFile is the server's current log; LogFile+".1" is the previous one. Together they
// hold at most the limit and, once that was reached, at least the last half of it, so
// that a server's last output is always kept.
const LogFile = LogDir + "/server.log"

// ConsoleFile is where a server may keep the end of its guest's console, which may be bytes of any
// kind.
const ConsoleFile = RootDir + "/console.log"

const oldLog = LogFile + ".1"

// A Log keeps the end of what is written to it. It is not safe for concurrent use, but
// Tail may be called meanwhile.
type Log struct {
	root *os.Root
	half int64
	file *os.File
	size int64
}

// OpenLog opens the zone's log for appending and makes it if it is absent. limit, at
// least 2, bounds both files together in bytes. The zone's root must stay open as long
// as the log.
func OpenLog(root *os.Root, limit int64) (*Log, error) {
	w := &Log{root: root, half: max(limit/2, 1)}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Log) open() error {
	// The server may have replaced the file: do not block on it or follow a link.
	f, err := w.root.OpenFile(LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is %v, want a regular file", LogFile, st.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.file, w.size = f, st.Size()
	return nil
}

// Write appends data and rotates the files when they are full. The log stays usable
// after an error; data that was not written is lost.
func (w *Log) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 {
		if w.size >= w.half {
			if err := w.rotate(); err != nil {
				return written, err
			}
		}
		n, err := w.file.Write(data[:min(int64(len(data)), w.half-w.size)])
		w.size += int64(n)
		written += n
		if err != nil {
			return written, fmt.Errorf("write log: %w", err)
		}
		data = data[n:]
	}
	return written, nil
}

func (w *Log) rotate() error {
	if err := w.root.Rename(LogFile, oldLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate log: %w", err)
	}
	full := w.file
	if err := w.open(); err != nil {
		return err
	}
	return full.Close()
}

// Close closes the log.
func (w *Log) Close() error { return w.file.Close() }

// tailTries bounds how often Tail reads because the files were rotated meanwhile.
const tailTries = 4

// Tail returns the last bytes of the log, at most limit. It returns none if there is
// no log.
func Tail(root *os.Root, limit int) ([]byte, error) {
	for try := 1; ; try++ {
		data, turned, err := tail(root, limit)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if !turned || try == tailTries {
			return data, nil
		}
	}
}

// tail reads once. turned reports whether the files were rotated between the two
// opens, so that both opened the same file.
func tail(root *os.Root, limit int) (data []byte, turned bool, err error) {
	now, err := openOr(root, LogFile)
	if err != nil {
		return nil, false, err
	}
	defer now.Close()
	data, err = end(now, limit)
	if err != nil || len(data) >= limit {
		return data, false, err
	}
	old, err := openOr(root, oldLog)
	if errors.Is(err, ErrRecord) {
		return data, false, nil // a server has replaced it
	}
	if err != nil {
		return nil, false, err
	}
	defer old.Close()
	if same(now, old) {
		return data, true, nil
	}
	before, err := end(old, limit-len(data))
	return append(before, data...), false, err
}

// openOr opens a file. It returns nil, which reads as empty, if there is none.
func openOr(root *os.Root, name string) (*os.File, error) {
	f, err := openRegular(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

func same(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	sa, err := a.Stat()
	if err != nil {
		return false
	}
	sb, err := b.Stat()
	return err == nil && os.SameFile(sa, sb)
}

// End returns the last bytes of a file that a server may have replaced by anything, at most limit.
func End(root *os.Root, name string, limit int) ([]byte, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return end(f, limit)
}

func end(f *os.File, limit int) ([]byte, error) {
	if f == nil || limit <= 0 {
		return nil, nil
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(st.Size()-int64(limit), 0)
	return io.ReadAll(io.NewSectionReader(f, from, int64(limit)))
}
