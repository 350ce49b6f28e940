// Command propolis-qemu serves the API of a Propolis server whose VM is a real guest in QEMU, on
// Linux. Package propolis/qemu runs QEMU; this command adds the command line, the listener and
// signals.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() { os.Exit(execute(os.Args[1:])) }

// usageError is an error in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// execute returns the exit status: 0, 1 if the server failed, 2 for wrong usage.
func execute(args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "propolis-qemu:", err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintln(os.Stderr, "See propolis-qemu --help.")
		return 2
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "propolis-qemu",
		Short: "A Propolis server whose VM is a real guest in QEMU, on Linux",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("no such command %q", args[0])}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(), consoleCommand())
	return root
}

func oneAddress(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("want one ADDR:PORT, got %d arguments", len(args))}
	}
	return nil
}
