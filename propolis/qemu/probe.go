package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// The probe's guest has no firmware: 64 KiB of nothing but, where a CPU starts, an instruction
// sequence that writes 42 to the port of QEMU's exit device. QEMU then exits with twice that plus
// one.
const (
	probeSize   = 64 << 10
	probeStart  = probeSize - 16
	probeStatus = 2*42 + 1
	probeBudget = 2 * time.Second
	probeFD     = 3 // the first of those that it inherits
)

// mov $0x501,%dx; mov $42,%al; out %al,(%dx); hlt
var probeCode = []byte{0xba, 0x01, 0x05, 0xb0, 42, 0xee, 0xf4}

// Accelerator returns the accelerator for a wish: "kvm" or "tcg" as it is, "auto" kvm if a guest
// with the same machine and CPU as every VM's proves that it works. That /dev/kvm exists proves
// nothing: some hosts let it be opened and cannot run guests.
func Accelerator(ctx context.Context, o Options, log zerolog.Logger) (string, error) {
	switch o.Accel {
	case "kvm", "tcg":
		return o.Accel, nil
	case "auto":
	default:
		return "", fmt.Errorf("accelerator %q: want auto, kvm or tcg", o.Accel)
	}
	err := probe(ctx, o, "kvm")
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		log.Info().Str("accel", "tcg").AnErr("why", err).Msg("accelerator chosen: kvm does not work")
		return "tcg", nil
	}
	log.Info().Str("accel", "kvm").Msg("accelerator chosen")
	return "kvm", nil
}

// probe runs a guest of a few instructions, which must answer in time.
func probe(ctx context.Context, o Options, accel string) error {
	content := append(bytes.Repeat([]byte{0xf4}, probeStart), append(probeCode, make([]byte, 16-len(probeCode))...)...)
	image, err := memFile(bytes.NewReader(content), true)
	if err != nil {
		return err
	}
	defer image.Close()
	ctx, cancel := context.WithTimeout(ctx, probeBudget)
	defer cancel()
	args := slices.Concat(common, machineArgs(accel), []string{"-m", "size=16M", "-bios", nameOfFD(probeFD), "-device", "isa-debug-exit,iobase=0x501"})
	words := &lastWords{}
	cmd := exec.CommandContext(ctx, o.Program, args...)
	cmd.Stderr, cmd.WaitDelay, cmd.ExtraFiles = words, time.Second, []*os.File{image}
	err = runTied(cmd, o.User)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == probeStatus:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("probe with %s as %s: no answer within %s", accel, o.User, probeBudget)
	case err == nil:
		err = errors.New("it exited with 0")
	}
	return fmt.Errorf("probe with %s as %s: %w: %s", accel, o.User, err, words)
}
