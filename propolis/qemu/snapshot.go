package qemu

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/internal/ownfile"
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
	part, err := makePart(target+".part", target, d.path)
	if err != nil {
		return err
	}
	defer unlock(part)
	err = backup(ctx, q, done, part, map[string]string{"job-id": job, "device": d.node})
	if err == nil {
		err = complete(part, target)
	}
	if err := errors.Join(err, os.Remove(part.Name())); err != nil {
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
// left, unless the target exists. It is locked: no other server may use or remove it meanwhile.
func makePart(part, target, source string) (*os.File, error) {
	of, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	if !of.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", source)
	}
	f, err := openLocked(part)
	if err != nil {
		return nil, err
	}
	if _, err = os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(f.Truncate(0), f.Truncate(of.Size()))
	} else {
		err = errors.Join(cmp.Or(err, fmt.Errorf("%s: %w", target, fs.ErrExist)), os.Remove(part))
	}
	if err != nil {
		unlock(f)
		return nil, err
	}
	return f, nil
}

// unlock closes a file of openLocked. Its end alone would not unlock it while another process is
// being started, which has all files for a moment.
func unlock(f *os.File) {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	_ = f.Close()
}

// openLocked opens or makes a file that no other process has locked.
func openLocked(path string) (*os.File, error) {
	for {
		f, err := ownfile.Open(path, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return nil, err
		}
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s, which another server may be writing: %w", path, err)
		}
		mine, err := f.Stat()
		named, gone := os.Lstat(path)
		if err == nil && gone == nil && os.SameFile(mine, named) {
			return f, nil
		}
		unlock(f) // The last one who had it locked has removed it.
		if err != nil {
			return nil, err
		}
	}
}

// complete gives a complete copy its name, of which it never replaces the file.
func complete(part *os.File, target string) error {
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Link(part.Name(), target); err != nil {
		return err
	}
	return ownfile.SyncDir(filepath.Dir(target))
}

// backup has QEMU copy a disk to a file and waits until it has.
func backup(ctx context.Context, q *qmpClient, done <-chan error, to *os.File, arguments map[string]string) error {
	set, err := addFile(ctx, q, to)
	if err != nil {
		return err
	}
	defer func() {
		_ = q.do(context.WithoutCancel(ctx), commandBudget, "remove-fd", map[string]any{"fdset-id": set})
	}()
	arguments["target"] = nameOfSet(set)
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

// addFile gives QEMU a file and returns the number of the set in which it is.
func addFile(ctx context.Context, q *qmpClient, f *os.File) (set int, err error) {
	answer, err := q.ask(ctx, commandBudget, qmpCommand{name: "add-fd", file: f})
	if err != nil {
		return 0, err
	}
	var added struct {
		Set int `json:"fdset-id"`
	}
	if err := json.Unmarshal(answer, &added); err != nil {
		return 0, fmt.Errorf("QEMU's answer to add-fd: %w", err)
	}
	return added.Set, nil
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
