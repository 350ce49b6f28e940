package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// maxJobs is how many snapshots of a VM may be taken at once.
const maxJobs = 4

// Snapshot implements server.Snapshotter: it copies a disk's file, as it is at this moment, to
// ID.raw beside it, so that it can be a volume of its own. The disk's own file stays in use. (With
// QEMU's blockdev-snapshot-sync it would not: later writes would be in another file, and lost to
// the next VM with this disk.)
func (m *machine) Snapshot(ctx context.Context, name string, id uuid.UUID) error {
	d, ok := m.disks[name]
	if !ok {
		return errors.New("disk has no device")
	}
	target := filepath.Join(filepath.Dir(d.path), id.String()+".raw")
	if err := makeTarget(target, d.path); err != nil {
		return err
	}
	err := m.backup(ctx, d, target, "snapshot-"+id.String())
	if err != nil {
		err = errors.Join(fmt.Errorf("copy %s to %s: %w", d.path, target, err), os.Remove(target))
	}
	return err
}

// makeTarget makes an empty file of the size of another one. It never replaces one.
func makeTarget(target, source string) error {
	of, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !of.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", source)
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(of.Size())
	return errors.Join(err, f.Close())
}

// backup has QEMU copy a disk and waits until it has. A job is named by a word, which begins with a letter.
func (m *machine) backup(ctx context.Context, d disk, target, job string) error {
	done := make(chan error, 1)
	var q *qmpClient
	m.enter(func() {
		if len(m.jobs) < maxJobs && !m.moves() {
			m.jobs[job] = done
			q = m.qmp
		}
	})
	if q == nil {
		return errors.New("VM has ended or migrates, or too many snapshots are being taken")
	}
	defer m.enter(func() { delete(m.jobs, job) })
	err := q.do(ctx, commandBudget, "drive-backup", map[string]string{
		"job-id": job, "device": d.node, "target": target, "format": "raw", "sync": "full", "mode": "existing"})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-q.done:
		return q.broken
	case <-ctx.Done():
		return ctx.Err()
	}
}

// copied handles the end of a copy.
func (m *machine) copied(e qmpEvent) {
	var err error
	switch {
	case e.Data.Error != "":
		err = errors.New(e.Data.Error)
	case e.Name == "BLOCK_JOB_CANCELLED":
		err = errors.New("it was canceled")
	}
	if done := m.jobs[e.Data.Device]; done != nil {
		done <- err
		delete(m.jobs, e.Data.Device)
	}
}
