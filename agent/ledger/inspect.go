package ledger

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// inspect reads a whole ledger without changing it.
func inspect(path string) error {
	return guarded(path, func() (err error) {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true, PreLoadFreelist: true})
		if errors.Is(err, berrors.ErrTimeout) {
			return fmt.Errorf("open ledger %s: another process has it open", path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		return db.View(func(tx *bolt.Tx) error { return inspectTx(path, tx) })
	})
}

// inspectTx looks at every page in an order that cannot lead it astray: bbolt's
// own check runs in a goroutine where a fault would end the process, so
// everything it will touch is touched here first.
func inspectTx(path string, tx *bolt.Tx) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%s: %w: it has %d bytes of %d", path, ErrDamaged, info.Size(), tx.Size())
	}
	touched := 0
	if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b, &touched, 0) }); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	v, err := version(tx)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if v > schema {
		return fmt.Errorf("%s: %w: its schema is %d, the newest known is %d", path, ErrNewer, v, schema)
	}
	var first error
	for err := range tx.Check() { // to its end: it is a goroutine's
		first = errors.Join(first, err)
	}
	if first != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, first)
	}
	return nil
}

// maxDepth is more than a ledger has buckets in buckets.
const maxDepth = 8

func walk(b *bolt.Bucket, touched *int, depth int) error {
	if depth > maxDepth {
		return errors.New("its buckets are nested too deep")
	}
	return b.ForEach(func(k, v []byte) error {
		for _, c := range k {
			*touched += int(c)
		}
		for _, c := range v {
			*touched += int(c)
		}
		if v != nil {
			return nil
		}
		if sub := b.Bucket(k); sub != nil {
			return walk(sub, touched, depth+1)
		}
		return nil
	})
}

// guarded turns the ways in which a damaged file leads bbolt astray into an
// error: panics, and faults in the memory that it maps.
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", path, ErrDamaged, p)
		}
	}()
	return f()
}
