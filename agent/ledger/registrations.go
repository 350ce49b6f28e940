package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/ownfile"
)

// registrations is a directory of files named by numbers. Each holds the registrations
// of one write, concatenated; a state has the location of its VMM's (see ref). A file
// is removed when no VMM refers to it.
type registrations string

func (dir registrations) path(file uint64) string {
	return filepath.Join(string(dir), strconv.FormatUint(file, 10))
}

// files returns the numbers of the files.
func (dir registrations) files() (all []uint64) {
	entries, _ := os.ReadDir(string(dir)) // there may be no directory yet
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// add writes registrations to disk and returns their locations.
func (dir registrations) add(docs map[uuid.UUID][]byte) (refs map[uuid.UUID]ref, err error) {
	refs = map[uuid.UUID]ref{}
	if len(docs) == 0 {
		return refs, nil
	}
	if err = os.Mkdir(string(dir), 0o700); err == nil {
		err = ownfile.SyncDir(filepath.Dir(string(dir)))
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	var file uint64
	for _, n := range dir.files() {
		file = max(file, n)
	}
	file++
	var all []byte
	for id, doc := range docs {
		refs[id] = ref{file, int64(len(all)), len(doc), checksum(doc)}
		all = append(all, doc...)
	}
	f, err := ownfile.Open(dir.path(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(all); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = ownfile.SyncDir(string(dir))
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir.path(file)))
	}
	return refs, nil
}

// read reads a registration. Its error is ErrDamaged if the bytes are missing or differ.
func (dir registrations) read(at ref) ([]byte, error) {
	f, err := os.Open(dir.path(at.file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("registration: %w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	doc := make([]byte, at.size)
	if _, err := f.ReadAt(doc, at.at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if checksum(doc) != at.sum {
		return nil, fmt.Errorf("registration: %w: %w", ErrDamaged, errSum)
	}
	return doc, nil
}

var errSum = errors.New("checksum does not match")

// sweep removes the files that hold no registration of these VMMs. A failure is
// retried by the next sweep.
func (dir registrations) sweep(vmms map[uuid.UUID]stored) {
	used := map[uint64]bool{}
	for _, v := range vmms {
		used[v.at.file] = true
	}
	for _, n := range dir.files() {
		if !used[n] {
			_ = os.Remove(dir.path(n))
		}
	}
}
