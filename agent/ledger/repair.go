package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Repaired tells what Repair has come to.
type Repaired struct {
	// Kept and Lost count VMMs. A VMM is lost if it cannot be decoded; of a file
	// whose structure is broken, those are not even counted that lie behind the
	// break.
	Kept, Lost int
	// Old is where the damaged file is now.
	Old string
}

// Repair makes a new ledger out of what can be read of a damaged one, and keeps
// the old file beside it. A VMM that is lost is not known to the next agent,
// whose zone it finds as an orphan. A ledger of a newer version is not touched,
// nor one that cannot be read at all or that another process has open.
func Repair(path string) (r Repaired, err error) {
	if err := inspect(path); err != nil && !errors.Is(err, ErrDamaged) {
		return r, err
	}
	temp := path + ".repaired"
	if err := os.RemoveAll(temp); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	if err := create(temp); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	r, err = salvage(path, temp)
	if err != nil {
		return r, errors.Join(fmt.Errorf("repair ledger: %w", err), os.Remove(temp))
	}
	r.Old = fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000"))
	return r, replace(path, temp, r.Old)
}

// replace puts temp in the place of path, whose file gets another name. At every
// moment there is one at path: an agent that found none would begin anew.
func replace(path, temp, old string) error {
	if err := os.Link(path, old); err != nil {
		return fmt.Errorf("keep the old ledger: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("repair ledger: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// salvage copies the VMMs that can be read. It asks bbolt nothing about the old
// file, whose structure may lead in circles.
func salvage(from, to string) (r Repaired, err error) {
	file, err := os.Open(from)
	if err != nil {
		return r, err
	}
	defer file.Close() // only read
	info, err := file.Stat()
	if err != nil {
		return r, err
	}
	dst, err := bolt.Open(to, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	t, err := newTree(file, info.Size())
	if err != nil {
		return r, nil // without a beginning nothing in it can be read
	}
	return r, dst.Update(func(tx *bolt.Tx) (err error) {
		t.gatherPage(t.root, func(e element) {
			if e.flags == isBucket && string(e.key) == string(vmmsBucket) {
				t.gather(e.value, func(e element) { err = errors.Join(err, r.keep(tx, t, e)) })
			}
		}, 0)
		return err
	})
}

// keep copies a VMM if it can be read.
func (r *Repaired) keep(tx *bolt.Tx, t *tree, vmmBucket element) error {
	values := map[string][]byte{}
	t.gather(vmmBucket.value, func(e element) { values[string(e.key)] = e.value })
	get := func(key []byte) []byte { return values[string(key)] }
	if _, err := decodeEntry(vmmBucket.key, get, time.Now(), 0, "", vmm.Limits{}); err != nil {
		r.Lost++
		return nil
	}
	b, err := tx.Bucket(vmmsBucket).CreateBucket(vmmBucket.key)
	if errors.Is(err, berrors.ErrBucketExists) {
		r.Lost++
		return nil
	}
	if err != nil {
		return err
	}
	r.Kept++
	return errors.Join(b.Put(stateKey, get(stateKey)), b.Put(registryKey, get(registryKey)))
}
