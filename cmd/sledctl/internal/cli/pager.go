package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

const (
	pagerVariable = "SLEDCTL_PAGER"
	// defaultPager ends at once if all fits on the screen, passes colors on, and leaves what was
	// shown on the screen.
	defaultPager = "less -FRX"
)

// paged calls do, and shows what it writes in a pager on a terminal. All of it is collected first: a
// reader who takes long must not hold up a request to the agent.
func (a *app) paged(do func() error) error {
	command := a.pagerCommand()
	if command == "" {
		return do()
	}
	terminal, text := a.Out, &bytes.Buffer{}
	a.Out = text
	err := do()
	a.Out = terminal
	if text.Len() == 0 {
		return err
	}
	return errors.Join(page(command, text, terminal, a.Err), err)
}

// pagerCommand returns the shell command that output is shown with; empty for none.
func (a *app) pagerCommand() string {
	if !a.IsTerminal || a.noPager {
		return ""
	}
	command := strings.TrimSpace(cmp.Or(a.Getenv(pagerVariable), a.Getenv("PAGER")))
	switch {
	case command == "cat":
		return ""
	case command != "":
		return command
	case a.Find == nil || a.Getenv("TERM") == "dumb":
		return ""
	}
	if _, err := a.Find("less"); err != nil {
		return ""
	}
	return defaultPager
}

// page shows a text in a pager until the user leaves it. One that ends early has been left, which
// is no error.
func page(command string, text io.Reader, terminal, stderr io.Writer) error {
	// Ctrl-C is for the pager. Without this a second one would end sledctl, and leave the pager and
	// the shell with one terminal.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	if c, ok := terminal.(*checked); ok {
		terminal = c.w // the pager needs the terminal itself
	}
	pager := exec.Command("sh", "-c", command)
	pager.Stdin, pager.Stdout, pager.Stderr = text, terminal, stderr
	err := pager.Run()
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return nil
	case exited && exit.ExitCode() != 126 && exit.ExitCode() != 127: // those of a shell that cannot run it
		return nil
	}
	return fmt.Errorf("show the output with the pager %q: %w; use --no-pager", command, err)
}
