package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// regular holds that there is a file at path, and one that has something in it.
func regular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("open ledger: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("open ledger %s: it is not a file: %s", path, info.Mode())
	case info.Size() == 0:
		return fmt.Errorf("%s: %w: it is empty", path, ErrDamaged)
	}
	return nil
}

// inspect reads a whole ledger without changing it.
func inspect(path string) error {
	if err := regular(path); err != nil {
		return err
	}
	return guarded(path, func() (err error) {
		db, file, err := openBolt(path, bolt.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		if err := checkFile(file); err != nil {
			return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
		}
		return db.View(func(tx *bolt.Tx) error { return inspectTx(path, tx) })
	})
}

func checkFile(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	t, err := newTree(file, info.Size())
	if err != nil {
		return err
	}
	return t.check()
}

func inspectTx(path string, tx *bolt.Tx) error {
	v, err := version(tx)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if v > schema {
		return fmt.Errorf("%s: %w: its schema is %d, the newest known is %d", path, ErrNewer, v, schema)
	}
	if err := checkSeals(tx.Bucket(vmmsBucket)); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return nil
}

// checkSeals checks that every VMM has its values, with their checksums.
func checkSeals(vmms *bolt.Bucket) error {
	return vmms.ForEach(func(id, v []byte) error {
		if v != nil {
			return fmt.Errorf("VMM %q has no bucket", id)
		}
		for _, key := range [][]byte{registryKey, stateKey} {
			if _, err := unseal(id, key, vmms.Bucket(id).Get(key)); err != nil {
				return fmt.Errorf("VMM %q: %w", id, err)
			}
		}
		return nil
	})
}

// openBolt opens a file that exists, and returns the descriptor that bbolt has
// of it. An error is ErrDamaged or ErrNewer if it is about what the file holds.
// When bbolt panics, the descriptor is closed, and with it the lock given up.
func openBolt(path string, o bolt.Options) (db *bolt.DB, file *os.File, err error) {
	o.Timeout = lockTimeout
	o.OpenFile = func(name string, flag int, mode fs.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
		return file, err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = file.Close() // the panic says more
			panic(p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &o)
	var host syscall.Errno
	switch {
	case err == nil:
		return db, file, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, nil, fmt.Errorf("open ledger %s: another process has it open", path)
	case errors.As(err, &host):
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	case errors.Is(err, berrors.ErrVersionMismatch):
		return nil, nil, fmt.Errorf("%s: %w: %w", path, ErrNewer, err)
	}
	return nil, nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
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
