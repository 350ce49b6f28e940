package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/ownfile"
	"github.com/sledagent/sledagent/propolis"
)

// idFile is the name of the file in the state directory that holds the sled's id.
const idFile = "sled_id"

// An identity identifies this sled. Without a configured id, the agent makes one at
// its first start and keeps it in the state directory.
type identity struct {
	dir        string
	configured uuid.UUID
	id         atomic.Pointer[uuid.UUID] // nil until it is known
}

// learn determines the id.
func (i *identity) learn() error {
	id := i.configured
	if id == uuid.Nil {
		var err error
		if id, err = keptID(filepath.Join(i.dir, idFile)); err != nil {
			return err
		}
	}
	i.id.Store(&id)
	return nil
}

// metadata returns the sled's metadata, with the nil id until the id is known.
func (i *identity) metadata() propolis.Metadata {
	var id uuid.UUID
	if known := i.id.Load(); known != nil {
		id = *known
	}
	serial, err := os.Hostname()
	if err != nil {
		serial = id.String()
	}
	return propolis.Metadata{SledID: id, SledSerial: serial, SledModel: runtime.GOOS + "-" + runtime.GOARCH}
}

// keptID reads the sled's id from a file, or makes the file.
func keptID(path string) (uuid.UUID, error) {
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeID(path)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("read the sled id: %w", err)
	}
	id, err := uuid.Parse(strings.TrimSpace(text))
	if err != nil || id == uuid.Nil {
		return uuid.Nil, fmt.Errorf("sled id in %s: %q is not a UUID; write the sled's id into it, or set sled_id in the configuration", path, text)
	}
	return id, nil
}

// readSmall reads the beginning of a file.
func readSmall(path string) (string, error) {
	f, err := ownfile.Open(path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 128))
	return string(text), err
}

// makeID makes an id and its file. The file is never empty or partial, even after a
// power cut.
func makeID(path string) (id uuid.UUID, err error) {
	defer func() {
		if err != nil {
			id, err = uuid.Nil, fmt.Errorf("keep the sled id: %w", err)
		}
	}()
	id = uuid.New()
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	f, err := ownfile.Open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return id, err
	}
	_, err = f.WriteString(id.String() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return id, err
	}
	if err := os.Rename(temp, path); err != nil {
		return id, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return id, err
	}
	return id, errors.Join(dir.Sync(), dir.Close())
}
