// Command sled-agent runs a sled's VMMs at a control plane's word.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
	"github.com/sledagent/sledagent/zone/process"
)

// version is set by the Makefile.
var version = "unknown"

// Exit codes are those of smf_method(7), so that the service manager can tell a
// configuration that never works from a start that may work later.
const (
	exitUsage  = 2
	exitFatal  = 95 // SMF_EXIT_ERR_FATAL
	exitConfig = 96 // SMF_EXIT_ERR_CONFIG
)

func main() {
	process.Main()
	bhyve.Main()
	os.Exit(execute(os.Args[1:]))
}

// fatal is an error at or after the start of the agent itself.
type fatal struct{ err error }

func (f fatal) Error() string { return f.err.Error() }
func (f fatal) Unwrap() error { return f.err }

func execute(args []string) int {
	root := command()
	root.SetArgs(args)
	err := root.Execute()
	var bad *config.Error
	var broken fatal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &bad):
		fmt.Fprintln(os.Stderr, "sled-agent:", err)
		return exitConfig
	case errors.As(err, &broken):
		fmt.Fprintln(os.Stderr, "sled-agent:", err)
		return exitFatal
	default:
		fmt.Fprintf(os.Stderr, "sled-agent: %v\nTry 'sled-agent --help'.\n", err)
		return exitUsage
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "sled-agent",
		Short: "Runs a sled's VMMs at a control plane's word",
		Long: `sled-agent runs on every sled. The control plane asks it over HTTP to register,
run, stop, reboot and unregister VMMs. It makes a zone for each, watches it,
reports its state upward and removes it. A stop that was accepted ends.`,
		Version:       version,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(runCommand(), checkCommand(), ledgerCommand())
	return root
}

func runCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the agent in the foreground",
		Long: `Run the agent in the foreground, with a structured log on stderr.

SIGTERM and SIGINT end it within 5 seconds; VMs keep running.
Exit status: 0 ended by a signal, 95 a start that failed, 96 a bad configuration.`,
		Example: "  sled-agent run --config /etc/sled-agent.toml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if err := run(cfg); err != nil {
				return fatal{err}
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "check --config FILE",
		Short:   "Check a configuration and print it with all defaults",
		Example: "  sled-agent check --config /etc/sled-agent.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return cfg.Write(cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "the configuration `FILE` (TOML)")
	_ = cmd.MarkFlagRequired("config") // it fails only for a flag that is not there
	_ = cmd.MarkFlagFilename("config", "toml")
}
