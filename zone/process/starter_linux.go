package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/inits"
	"github.com/sledagent/sledagent/zone/process/internal/spawner"
)

// A starter starts zones' inits from helper processes, so that an exec that stalls
// does not stall this process.
type starter struct{ *spawner.Spawner }

// newStarter returns a starter whose helpers run self. If that is this program, the first one
// is cmd/sled-zone-init if that is beside it: each helper, and each init, executes the program
// of the helper that starts it.
func newStarter(self string) (starter, error) {
	first := self
	if own, err := os.Executable(); err == nil && self == ownExe {
		first = filepath.Join(filepath.Dir(own), inits.Program)
	}
	s, err := spawner.New(self, first)
	return starter{s}, err
}

func (s starter) start(ctx context.Context, path string, argv, env []string, pidns bool, socket *os.File) (pid int, err error) {
	pid, err = s.Start(ctx, spawner.Request{Path: path, Argv: argv, Env: env, PIDNS: pidns}, socket)
	if errors.Is(err, spawner.ErrBusy) {
		err = fmt.Errorf("%w: %w", zone.ErrBusy, err)
	}
	return pid, err
}
