package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/config"
)

func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Look at the agent's ledger, or repair it, while no agent runs",
		Long: `The ledger (ledger.db in the state directory) is what the agent knows after a
restart: every VMM with its state, its pending stop and its deadline. An agent
that finds it damaged does not start (exit status 95) and touches nothing.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(
		ledgerVerb("check", "Tell whether the ledger is whole", ledgerCheck),
		ledgerVerb("dump", "Print every VMM of the ledger as a line of JSON",
			func(cmd *cobra.Command, path string) error { return ledger.Dump(path, cmd.OutOrStdout()) }),
		ledgerVerb("repair", "Make a new ledger of what can be read; the old one is kept beside it", ledgerRepair),
	)
	return cmd
}

// ledgerVerb is a command on the ledger of a configuration. It takes the state
// directory for itself, so that no agent changes the file meanwhile.
func ledgerVerb(verb, short string, do func(*cobra.Command, string) error) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     verb + " --config FILE",
		Short:   short,
		Example: "  sled-agent ledger " + verb + " --config /etc/sled-agent.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			unlock, err := ledger.Lock(cfg.StateDir)
			if err != nil {
				return fatal{err}
			}
			defer unlock() // the process ends right after
			if err := do(cmd, filepath.Join(cfg.StateDir, ledger.FileName)); err != nil {
				return fatal{err}
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func ledgerCheck(cmd *cobra.Command, path string) error {
	vmms, err := ledger.Check(path)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s is whole and holds %d VMMs\n", path, vmms)
	}
	return err
}

func ledgerRepair(cmd *cobra.Command, path string) error {
	r, err := ledger.Repair(path)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s now holds %d VMMs; %d could not be read\nthe old file is %s\n", path, r.Kept, r.Lost, r.Old)
		fmt.Fprintln(cmd.OutOrStdout(), "zones of VMMs that it does not hold are orphans: see zones.orphans before you start the agent")
	}
	return err
}
