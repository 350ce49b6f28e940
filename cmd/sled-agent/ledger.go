package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/usage"
)

func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Inspect or repair the ledger while no agent runs",
		Long: `The ledger (ledger.db in the state directory) is what the agent knows after a
restart: every VMM with its state, its pending stop and its deadline. An agent
that finds entries damaged starts with the others, keeps the damaged file beside
the ledger, and answers 503 for VMMs that it does not know, until "settle" or
"repair".`,
		Args: usage.NoSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		ledgerVerb("check", "Check the ledger for damage", ledgerCheck),
		ledgerVerb("dump", "Print every VMM of the ledger as a line of JSON",
			func(cmd *cobra.Command, path string) error { return ledger.Dump(path, cmd.OutOrStdout()) }),
		ledgerVerb("settle", "Declare that zones not in the ledger belong to no VMM", ledgerSettle),
		ledgerVerb("repair", "Make a new ledger of what can be read; the old one is kept beside it", ledgerRepair),
	)
	return cmd
}

// ledgerVerb is a command on the ledger of a configuration. It holds the lock of the
// state directory, so that no agent changes the file meanwhile.
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

func ledgerSettle(cmd *cobra.Command, path string) error {
	err := ledger.Settle(path)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s is settled: zones.orphans applies to zones that are not in it\n", path)
	}
	return err
}

func ledgerRepair(cmd *cobra.Command, path string) error {
	r, err := ledger.Repair(path)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s now holds %d VMMs; %d could not be read\nthe old file is %s\n", path, r.Kept, r.Lost, r.Old)
		fmt.Fprintln(cmd.OutOrStdout(), "zones that are not in it are kept until none is left, or until \"sled-agent ledger settle\"")
	}
	return err
}
