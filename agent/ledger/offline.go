package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// Check reads a whole ledger, without an agent, and returns how many VMMs it
// holds. It changes nothing.
func Check(path string) (vmms int, err error) {
	err = offline(path, func(tx *bolt.Tx) error {
		return eachEntry(tx, bootclock.Host(), vmm.Limits{}, func(e Loaded, err error) error {
			if err != nil {
				return fmt.Errorf("%s: %w: VMM %s: %w", path, ErrDamaged, e.ID, err)
			}
			vmms++
			return nil
		})
	})
	return vmms, err
}

// offline opens a ledger for reading and closes it again.
func offline(path string, f func(*bolt.Tx) error) error {
	db, err := open(path, true)
	if err != nil {
		return err
	}
	return errors.Join(guarded(path, func() error { return db.View(f) }), db.Close())
}

// dump is one VMM as Dump writes it.
type dump struct {
	ID           string          `json:"id"`
	State        json.RawMessage `json:"state,omitempty"`
	Registration json.RawMessage `json:"registration,omitempty"`
	Error        string          `json:"error,omitempty"`
}

// Dump writes every VMM of a ledger as a line of JSON, as it stands on disk.
// What cannot be read is a line with an error.
func Dump(path string, w io.Writer) error {
	out := json.NewEncoder(w)
	return offline(path, func(tx *bolt.Tx) error {
		vmms := tx.Bucket(vmmsBucket)
		return vmms.ForEachBucket(func(key []byte) error {
			b := vmms.Bucket(key)
			d := dump{ID: string(key), State: rawJSON(b.Get(stateKey)), Registration: rawJSON(b.Get(registryKey))}
			if _, err := decodeEntry(key, b, time.Now(), 0, "", vmm.Limits{}); err != nil {
				d.Error = err.Error()
			}
			return out.Encode(d)
		})
	})
}

func rawJSON(data []byte) json.RawMessage {
	if !json.Valid(data) {
		return nil
	}
	return data
}

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
// whose zone it finds as an orphan. A ledger of a newer version is not touched.
func Repair(path string) (Repaired, error) {
	var r Repaired
	if err := inspect(path); errors.Is(err, ErrNewer) {
		return r, err
	}
	temp := path + ".repaired"
	if err := os.RemoveAll(temp); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	if err := create(temp); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	salvaged := guarded(path, func() error { return salvage(path, temp, &r) })
	if salvaged != nil && !errors.Is(salvaged, ErrDamaged) {
		return r, errors.Join(salvaged, os.Remove(temp))
	}
	r.Old = fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000"))
	if err := os.Rename(path, r.Old); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	return r, nil
}

// salvage copies VMMs one by one, each in a transaction of its own, so that what
// was copied before a break stays.
func salvage(from, to string, r *Repaired) (err error) {
	src, err := bolt.Open(from, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := bolt.Open(to, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return fmt.Errorf("repair ledger: %w", err)
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	return src.View(func(tx *bolt.Tx) error {
		vmms := tx.Bucket(vmmsBucket)
		if vmms == nil {
			return ErrDamaged
		}
		return vmms.ForEachBucket(func(key []byte) error {
			b := vmms.Bucket(key)
			if _, err := decodeEntry(key, b, time.Now(), 0, "", vmm.Limits{}); err != nil {
				r.Lost++
				return nil
			}
			r.Kept++
			return dst.Update(func(tx *bolt.Tx) error { return copyVMM(tx, key, b) })
		})
	})
}

func copyVMM(tx *bolt.Tx, key []byte, from *bolt.Bucket) error {
	b, err := tx.Bucket(vmmsBucket).CreateBucket(key)
	if err != nil {
		return err
	}
	return errors.Join(b.Put(stateKey, from.Get(stateKey)), b.Put(registryKey, from.Get(registryKey)))
}
