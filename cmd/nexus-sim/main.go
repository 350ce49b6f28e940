// Command nexus-sim is a simulated Nexus for people and scripts: it receives VMM
// records as the real one does, shows them, reports contradictory records of a sled,
// and simulates faults on request.
//
// It consists of flags, signals and output. Package nexussim simulates Nexus and
// serves the control routes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/internal/usage"
)

// version is set by the Makefile.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "nexus-sim:", err)
		os.Exit(1)
	}
}

func command(stdout, stderr io.Writer) *cobra.Command {
	root := usage.Program(&cobra.Command{
		Use:               "nexus-sim",
		Short:             "A simulated Nexus that receives VMM records",
		Version:           version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}, runCommand(), faultsCommand())
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root
}

func faultsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "faults",
		Short: "List the faults that --fault and PUT /sim/faults take",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "FAULT\tWHAT NEXUS DOES")
			for _, d := range nexussim.Faults() {
				fmt.Fprintf(w, "%s\t%s\n", d.Usage(), d.Text)
			}
			fmt.Fprintln(w, "\nFault@VMM strikes only updates of that VMM; every fault but refuse, cut and those of DNS can be so limited.")
			return w.Flush()
		},
	}
}
