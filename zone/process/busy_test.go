//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

// busyMode makes the test binary an agent that starts a zone while it is short of
// descriptors.
const busyMode = "be-busy"

// A start that fails for lack of descriptors returns ErrBusy, and succeeds once there
// are enough.
func TestStartOnABusyHost(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/proc/self/exe", busyMode, t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func actAsBusy(dir string) {
	m, err := New(Config{Dir: dir, Prefix: prefix, Log: zerolog.Nop(), Argv: []string{"/proc/self/exe", serverMode, "sleep"}})
	check(err)
	check(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}))
	var held []*os.File
	for f, err := os.Open(os.DevNull); err == nil; f, err = os.Open(os.DevNull) {
		held = append(held, f)
	}
	ctx, failed := ctxFor(noT{}), 0
	for i := range held {
		name := fmt.Sprintf("%sbusy-%d", prefix, i)
		_, err := m.Create(ctx, spec(name))
		if err == nil {
			err = m.Boot(ctx, name)
		}
		if err == nil {
			if failed < 3 {
				check(fmt.Errorf("the table was not full: %d starts failed", failed))
			}
			check(m.Remove(ctx, zone.RungHalt, name))
			return
		}
		if !errors.Is(err, zone.ErrBusy) {
			check(fmt.Errorf("with %d free descriptors: %w", i, err))
		}
		failed++
		check(held[i].Close())
	}
	check(errors.New("no start succeeded"))
}
