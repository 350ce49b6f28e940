package illumos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxTail bounds the number of bytes that Tail returns.
const maxTail = 1 << 20

// Tail implements zone.Manager. The log is SMF's log of the server's service in the
// zone; it exists until the zone is uninstalled. Tail leaves no file below the
// zone's root open: that would keep a halt from unmounting the root.
func (m *Manager) Tail(ctx context.Context, name string, max int) ([]byte, error) {
	err := m.ours(name)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read log of zone: %w", err)
	}
	text, err := m.tail(name, max)
	if err != nil {
		return nil, fmt.Errorf("read log of zone %s: %w", name, err)
	}
	return text, nil
}

func (m *Manager) tail(name string, max int) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Join(m.zonePath(name), "root"))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Processes in the zone can write to its root. os.Root does not follow links out
	// of it; O_NONBLOCK keeps the open of a FIFO from blocking.
	file, err := root.OpenFile(logPath(m.cfg.Service), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("the log is not a file")
	}
	size := min(int64(max), maxTail, info.Size())
	if size <= 0 {
		return nil, nil
	}
	return io.ReadAll(io.NewSectionReader(file, info.Size()-size, size))
}

// logPath returns the path of a service's log relative to the zone's root: in
// /var/svc/log, with the slashes of the service's name as dashes (svc.startd(8)).
func logPath(fmri string) string {
	service, instance := splitFMRI(fmri)
	return filepath.Join("var/svc/log", strings.ReplaceAll(service, "/", "-")+":"+instance+".log")
}
