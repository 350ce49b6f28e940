package zonedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// LogFile is the server's log as it is now; LogFile+".1" is what came before.
// Together they hold at most the limit and, once they were full, never less
// than its last half, so what a server said last is always there.
const LogFile = LogDir + "/server.log"

const oldLog = LogFile + ".1"

// A Log keeps the end of what is written to it. It is for one goroutine;
// readers may use Tail meanwhile.
type Log struct {
	root *os.Root
	half int64
	file *os.File
	size int64
}

// OpenLog opens the log of the zone for appending and makes it if it is absent.
// limit is the most bytes that both files hold, at least 2. The zone's root
// must stay open as long as the log.
func OpenLog(root *os.Root, limit int64) (*Log, error) {
	w := &Log{root: root, half: max(limit/2, 1)}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Log) open() error {
	f, err := w.root.OpenFile(LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.file, w.size = f, st.Size()
	return nil
}

// Write appends data, turning the files over as often as they are full. An
// error leaves the writer usable: what did not fit on the disk is lost.
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

// tailTries bounds how often Tail starts anew because the files turned over.
const tailTries = 4

// Tail returns the last bytes of the log, at most limit. No log is no bytes.
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

// tail reads once. turned tells that the files turned over between the two
// opens, so that both were the same file.
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

// openOr returns nil, which reads as empty, for a file that is not there.
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
