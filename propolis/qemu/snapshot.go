package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// maxJobs is how many snapshots of a VM may be taken at once.
const maxJobs = 4

// Snapshot implements server.Snapshotter: it copies a disk's file, as it is at this moment, to
// ID.raw beside it, so that it can be a volume of its own. Until it is complete its name is
// ID.raw.part. The disk's own file stays in use. (With QEMU's blockdev-snapshot-sync it would not:
// later writes would be in another file, and lost to the next VM with this disk.)
func (m *machine) Snapshot(ctx context.Context, name string, id uuid.UUID) error {
	d, ok := m.disks[name]
	if !ok {
		return errors.New("disk has no device")
	}
	target := filepath.Join(filepath.Dir(d.path), id.String()+".raw")
	job := "snapshot-" + id.String() // It begins with a letter, as QEMU wants.
	q, done := m.beginJob(job)
	if q == nil {
		return errors.New("VM has ended or migrates, this snapshot is being taken, or too many are")
	}
	defer m.endJob(job)
	part := target + ".part"
	if err := makePart(part, target, d.path); err != nil {
		return err
	}
	err := backup(ctx, q, done, map[string]string{"job-id": job, "device": d.node, "target": part})
	if err == nil {
		err = complete(part, target)
	}
	if err := errors.Join(err, os.Remove(part)); err != nil {
		return fmt.Errorf("copy %s to %s: %w", d.path, target, err)
	}
	return nil
}

// beginJob returns what a snapshot needs; nil if it cannot be taken now.
func (m *machine) beginJob(job string) (q *qmpClient, done chan error) {
	m.enter(func() {
		if len(m.jobs) < maxJobs && m.jobs[job] == nil && !m.moves() {
			q, done = m.qmp, make(chan error, 1)
			m.jobs[job] = done
			m.host.machines.Add(1)
		}
	})
	return q, done
}

func (m *machine) endJob(job string) {
	m.enter(func() { delete(m.jobs, job) })
	m.host.machines.Done()
}

// makePart makes an empty file of the size of another one, in place of what a killed server has
// left, unless the target exists.
func makePart(part, target, source string) error {
	of, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !of.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", source)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s: %w", target, fs.ErrExist))
	}
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(of.Size())
	return errors.Join(err, f.Close())
}

// complete gives a complete copy its name, of which it never replaces the file.
func complete(part, target string) error {
	if err := syncFile(part); err != nil {
		return err
	}
	if err := os.Link(part, target); err != nil {
		return err
	}
	return syncFile(filepath.Dir(target))
}

// syncFile has a file or a directory survive a loss of power.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// backup has QEMU copy a disk and waits until it has.
func backup(ctx context.Context, q *qmpClient, done <-chan error, arguments map[string]string) error {
	arguments["format"], arguments["sync"], arguments["mode"] = "raw", "full", "existing"
	if err := q.do(ctx, commandBudget, "drive-backup", arguments); err != nil {
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
		select {
		case done <- err:
		default: // It has ended already.
		}
	}
}
