package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/usage"
	"github.com/sledagent/sledagent/propolis/sim"
)

func modesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "modes",
		Short: "List the faults that --mode takes and the actions of /sim/do/",
		Args:  usage.Wants(0, "no arguments"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return printTables(cmd.OutOrStdout()) },
	}
}

// printTables prints the modes, the values of CALL and STATE in their names, and the
// actions.
func printTables(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODE\tWHAT IT DOES")
	for _, m := range sim.Modes() {
		fmt.Fprintf(t, "%s%s\t%s\n", m.Name, m.Value, m.Does)
	}
	fmt.Fprintln(t, "\t\nLAST PART OF\tIS ONE OF")
	for _, m := range sim.Modes() {
		if len(m.Of) > 0 {
			fmt.Fprintf(t, "%s\t%s\n", m.Name, strings.Join(m.Of, " "))
		}
	}
	fmt.Fprintln(t, "\t\nACTION\tWHAT IT DOES")
	for _, a := range sim.Actions() {
		fmt.Fprintf(t, "%s\t%s\n", a.Name, a.Does)
	}
	return t.Flush()
}
