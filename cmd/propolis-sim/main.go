// Command propolis-sim serves the API of a Propolis server without a hypervisor, and
// simulates faults on request. Package propolis/sim is the simulator; this command adds
// the command line, the listener, signals and the faults that need a process.
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
		Use:     "propolis-sim",
		Short:   "A simulated Propolis server: the real API, no hypervisor, faults on request",
		Version: version,
	}, runCommand(), modesCommand(), escapeCommand())
}
