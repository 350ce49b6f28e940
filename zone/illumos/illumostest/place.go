package illumostest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// placeProgram puts the program at path. A process of its own writes the file:
// were it open for writing here, a process forked at that moment by another test
// would hold it open too, and it could not be executed for a while.
func placeProgram(path string) error {
	file, err := program()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", `cat > "$0" && chmod 755 "$0"`, path)
	cmd.Stdin = io.NewSectionReader(file, 0, info.Size())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("place %s: %w: %s", path, err, out)
	}
	return nil
}

// program is the built program, which has no name any more, so that nobody has
// to remove it.
var program = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "illumos-standin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "illumos-standin")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path,
		"github.com/sledagent/sledagent/zone/illumos/illumostest/cmd/illumos-standin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, &buildError{err, string(out)}
	}
	return os.Open(path)
})

type buildError struct {
	error
	output string
}

func (e *buildError) Error() string {
	return "build illumos-standin: " + e.error.Error() + "\n" + e.output
}

func (e *buildError) Unwrap() error { return e.error }
