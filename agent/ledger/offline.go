package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
			d := dump{ID: string(key), State: rawJSON(key, stateKey, b), Registration: rawJSON(key, registryKey, b)}
			if _, err := decodeEntry(key, b.Get, time.Now(), 0, "", vmm.Limits{}); err != nil {
				d.Error = err.Error()
			}
			return out.Encode(d)
		})
	})
}

func rawJSON(id, key []byte, b *bolt.Bucket) json.RawMessage {
	data, err := unseal(id, key, b.Get(key))
	if err != nil || !json.Valid(data) {
		return nil
	}
	return data
}
