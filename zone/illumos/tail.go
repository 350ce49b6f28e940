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

// maxTail bounds what Tail returns, whatever it is asked for.
const maxTail = 1 << 20

// Tail implements zone.Manager. The log is the one that SMF keeps in the zone
// for the server's service; it is there until Uninstall. Nothing below the
// zone's root is held open afterwards: that would keep a halt from unmounting it.
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
	// The zone's root is the guest's server's to write. os.Root keeps links from
	// leading out of it; O_NONBLOCK keeps a FIFO from blocking.
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

// logPath is where SMF keeps a service's log, relative to the zone's root
// (svc.startd(8)): /var/svc/log, with each slash of the service's name a dash.
func logPath(fmri string) string {
	service, instance := splitFMRI(fmri)
	return filepath.Join("var/svc/log", strings.ReplaceAll(service, "/", "-")+":"+instance+".log")
}
