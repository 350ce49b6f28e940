package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/api"
)

// identify says which sled this is. A sled that was given no id makes one at its
// first start and keeps it in its state directory.
func identify(stateDir string, configured uuid.UUID) (api.Identifiers, error) {
	id := configured
	if id == uuid.Nil {
		var err error
		if id, err = keptID(filepath.Join(stateDir, "sled_id")); err != nil {
			return api.Identifiers{}, err
		}
	}
	serial, err := os.Hostname()
	if err != nil {
		serial = id.String()
	}
	return api.Identifiers{SledID: id, Serial: serial, Model: runtime.GOOS + "-" + runtime.GOARCH}, nil
}

// keptID reads the sled's id from a file, or makes the file.
func keptID(path string) (uuid.UUID, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(text)))
		if err != nil {
			return id, fmt.Errorf("sled id in %s: %w", path, err)
		}
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return uuid.Nil, fmt.Errorf("read the sled id: %w", err)
	}
	id := uuid.New()
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(id.String()+"\n"), 0o600); err != nil {
		return uuid.Nil, fmt.Errorf("keep the sled id: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return uuid.Nil, fmt.Errorf("keep the sled id: %w", err)
	}
	return id, nil
}
