package illumos

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/sledagent/sledagent/zone/internal/rmtree"
)

// removeTree removes a directory and its contents as rmtree does: at any depth, and
// not across mount points.
func removeTree(ctx context.Context, path string) error {
	err := os.Remove(path)
	if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return ignoreNotExist(err)
	}
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ignoreNotExist(err)
	}
	defer dir.Close()
	if err := rmtree.Contents(ctx, dir, func(string) bool { return false }); err != nil {
		return err
	}
	return ignoreNotExist(os.Remove(path))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
