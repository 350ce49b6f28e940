package usage

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"
)

// An Error is an error in the command line. It has the text of what it wraps.
type Error struct{ error }

// Wrong makes an Error of err.
func Wrong(err error) error { return Error{err} }

// Unwrap returns the error without the mark.
func (e Error) Unwrap() error { return e.error }

// Program completes the root command of a program that only has subcommands. Errors about flags
// and commands are Errors.
func Program(root *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	root.Args = func(cmd *cobra.Command, args []string) error {
		if err := NoSuchCommand(cmd, args); err != nil {
			return Wrong(err)
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Wrong(err) })
	root.AddCommand(commands...)
	return root
}

// Execute runs a Program and prints its error. It returns the exit status: 0, 1 if the program
// failed, 2 for an Error.
func Execute(root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, root.Name()+":", err)
	if errors.As(err, new(Error)) {
		fmt.Fprintf(os.Stderr, "See %s --help.\n", root.Name())
		return 2
	}
	return 1
}

// Wants makes a wrong number of arguments an Error that says what was wanted.
func Wants(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return Wrong(fmt.Errorf("want %s, got %d arguments", what, len(args)))
		}
		return nil
	}
}

// CheckAddr returns an error if addr is not of the form ADDR:PORT.
func CheckAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want ADDR:PORT", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("address %q: port %q is not a number from 0 to 65535", addr, port)
	}
	return nil
}
