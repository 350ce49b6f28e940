package ledger

import (
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// schema is the newest version of the schema.
const schema = 1

// migrations bring a ledger from version i+1 to i+2. The list is only ever
// added to. Each needs testdata/v<i+1>.db, a kept file of the version that it
// starts from; a test holds that there is one and that it can be read.
var migrations = []func(*bolt.Tx) error{}

// version reads a ledger's schema version.
func version(tx *bolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil || tx.Bucket(vmmsBucket) == nil {
		return 0, fmt.Errorf("%w: it has no schema", ErrDamaged)
	}
	data, err := unseal(metaBucket, schemaKey, meta.Get(schemaKey))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	v, err := strconv.Atoi(string(data))
	if err != nil || v < 1 {
		return 0, fmt.Errorf("%w: its schema is %q", ErrDamaged, data)
	}
	return v, nil
}

func putVersion(meta *bolt.Bucket, v int) error {
	return meta.Put(schemaKey, seal(metaBucket, schemaKey, fmt.Append(nil, v)))
}

// migrate brings a ledger up to date in one transaction.
func migrate(db *bolt.DB) error {
	var have int
	err := db.View(func(tx *bolt.Tx) (err error) {
		have, err = version(tx)
		return err
	})
	if err != nil || have == schema {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for v := have; v < schema; v++ {
			if err := migrations[v-1](tx); err != nil {
				return fmt.Errorf("migrate from schema %d: %w", v, err)
			}
		}
		return putVersion(tx.Bucket(metaBucket), schema)
	})
}
