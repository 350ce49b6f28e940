package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// self is this process, for the faults that need one.
type self struct{ log zerolog.Logger }

// Crash implements sim.Process.
func (p self) Crash() {
	p.log.Warn().Msg("killing myself")
	p.signal(unix.SIGKILL)
}

// Exit implements sim.Process.
func (p self) Exit() {
	p.log.Warn().Msg("exiting with status 1")
	os.Exit(1)
}

// Freeze implements sim.Process.
func (p self) Freeze() {
	p.log.Warn().Msg("stopping myself")
	p.signal(unix.SIGSTOP)
}

func (p self) signal(sig syscall.Signal) {
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		p.log.Error().Err(err).Stringer("signal", sig).Msg("cannot signal myself")
	}
}

// spawnBudget is far more than it takes to start two processes.
const spawnBudget = 10 * time.Second

// Escape implements sim.Process. The child starts the escapee and exits, so
// that the escapee's parent is gone, as after a daemon's two forks.
func (p self) Escape(life time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), spawnBudget)
	defer cancel()
	cmd, err := again(ctx, "start", life)
	if err != nil {
		return err
	}
	pid, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("start escapee: %w", err)
	}
	p.log.Warn().Str("escapee", strings.TrimSpace(string(pid))).Msg("a process has escaped")
	return nil
}

// again is this program's hidden command, in a session of its own and with no
// file of this process open.
func again(ctx context.Context, stage string, life time.Duration) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, "escape", stage, life.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

func escapeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "escape start|sleep DURATION",
		Hidden: true,
		Args:   wants(2, "a stage and a duration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			life, err := time.ParseDuration(args[1])
			if err != nil {
				return usageError{err}
			}
			if args[0] == "sleep" {
				return sleepOn(life)
			}
			return startEscapee(life)
		},
	}
}

// startEscapee starts the escapee, passes on the process id that it prints once
// it is past every signal, and does not wait for its end. Its life is its own,
// so no context ends it.
func startEscapee(life time.Duration) error {
	cmd, err := again(context.Background(), "sleep", life)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start escapee: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start escapee: %w", err)
	}
	if _, err := io.Copy(os.Stdout, out); err != nil {
		return fmt.Errorf("hear from escapee: %w", err)
	}
	return nil
}

// sleepOn ignores every signal that can be ignored and asks for an end.
func sleepOn(life time.Duration) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	fmt.Println(os.Getpid())
	if err := os.Stdout.Close(); err != nil {
		return fmt.Errorf("close standard output: %w", err)
	}
	time.Sleep(life)
	return nil
}
