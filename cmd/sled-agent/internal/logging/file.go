package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxFile is the maximum size of the fallback file in bytes. The previous file is
// kept beside it.
const maxFile = 1 << 20

// A fallback is a file that is opened on first use. It holds the newest lines; the
// file of the same name with ".old" holds the lines before them.
type fallback struct {
	path string
	file *os.File
	size int64
}

func (f *fallback) Write(line []byte) (int, error) {
	if f.file != nil && f.size+int64(len(line)) > maxFile {
		_ = f.file.Close() // write errors were already returned to the writer
		f.file = nil
		if err := os.Rename(f.path, f.path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	return n, err
}

// open opens only a regular file: no symbolic link that points out of the directory,
// and no pipe without a reader.
func (f *fallback) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, info.Size()
	return nil
}
