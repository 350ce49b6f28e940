// Command propolis-qemu serves the API of a Propolis server whose VM is a real guest in QEMU, on
// Linux. Package propolis/qemu runs QEMU; this command adds the command line, the listener and
// signals.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/usage"
)

// version is set by the Makefile.
var version = "unknown"

func main() { os.Exit(usage.Execute(rootCommand(), os.Args[1:])) }

func rootCommand() *cobra.Command {
	return usage.Program(&cobra.Command{
		Use:     "propolis-qemu",
		Short:   "A Propolis server whose VM is a real guest in QEMU, on Linux",
		Version: version,
	}, runCommand())
}
