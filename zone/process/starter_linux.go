package process

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/spawner"
)

// A starter starts zones' inits from helper processes, so that an exec that stalls
// does not stall this process.
type starter struct{ *spawner.Spawner }

func newStarter(self string) (starter, error) {
	s, err := spawner.New(self)
	return starter{s}, err
}

func (s starter) start(ctx context.Context, path string, argv, env []string, pidns bool, socket *os.File) (pid int, err error) {
	pid, err = s.Start(ctx, spawner.Request{Path: path, Argv: argv, Env: env, PIDNS: pidns}, socket)
	if errors.Is(err, spawner.ErrBusy) {
		err = fmt.Errorf("%w: %w", zone.ErrBusy, err)
	}
	return pid, err
}

// runHelper never returns if this process was started as a starter's helper.
func runHelper() {
	if len(os.Args) == 1 && os.Args[0] == spawner.Arg0 {
		os.Exit(spawner.Run())
	}
}
