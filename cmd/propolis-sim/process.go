package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/internal/usage"
)

// self is this process, as the faults need it.
type self struct{ log zerolog.Logger }

// Crash implements sim.Process.
func (p self) Crash() { p.signal(unix.SIGKILL, "killing myself") }

// Freeze implements sim.Process.
func (p self) Freeze() { p.signal(unix.SIGSTOP, "stopping myself") }

// Exit implements sim.Process.
func (p self) Exit() {
	p.log.Warn().Msg("exiting with status 1")
	os.Exit(1)
}

func (p self) signal(sig syscall.Signal, message string) {
	p.log.Warn().Msg(message)
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		p.log.Error().Err(err).Stringer("signal", sig).Msg("cannot signal myself")
	}
}

// spawnBudget is ample time to start two processes.
const spawnBudget = 10 * time.Second

// Escape implements sim.Process. The shell starts this program's hidden command and
// exits, which leaves the escaped process without its parent, like a daemon after two
// forks.
func (p self) Escape(lifetime time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), spawnBudget)
	defer cancel()
	pid, err := exec.CommandContext(ctx, "/bin/sh", "-c", `"$0" escape "$1" 2>/dev/null &`, program, lifetime.String()).Output()
	if err != nil {
		return fmt.Errorf("start escapee: %w", err)
	}
	p.log.Warn().Str("escapee", strings.TrimSpace(string(pid))).Msg("a process has escaped")
	return nil
}

func escapeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "escape DURATION",
		Hidden: true,
		Args:   usage.Wants(1, "a duration"),
		RunE: func(_ *cobra.Command, args []string) error {
			lifetime, err := time.ParseDuration(args[0])
			if err != nil {
				return usage.Wrong(err)
			}
			return escapee(lifetime)
		},
	}
}

// escapee leaves the session, ignores every signal that can be ignored, and then
// prints its process id.
func escapee(lifetime time.Duration) error {
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("leave session: %w", err)
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	fmt.Println(os.Getpid())
	if err := os.Stdout.Close(); err != nil {
		return fmt.Errorf("close standard output: %w", err)
	}
	time.Sleep(lifetime)
	return nil
}
