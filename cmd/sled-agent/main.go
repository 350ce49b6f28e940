// Command sled-agent runs a sled's VMMs on behalf of a control plane.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/usage"
	"github.com/sledagent/sledagent/zone/illumos/bhyve"
	"github.com/sledagent/sledagent/zone/process"
)

// version is set by the Makefile.
var version = "unknown"

// Exit codes are those of smf_method(7), so that the service manager can distinguish
// a bad configuration from a start that may succeed later.
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
	if err == nil {
		return 0
	}
	text, status := explain(err)
	complain(text)
	return status
}

// explain returns the message for an error and the exit status. Each error of a
// configuration gets its own line.
func explain(err error) (text string, status int) {
	text = "sled-agent: " + strings.ReplaceAll(err.Error(), "\n", "\nsled-agent: ") + "\n"
	var bad *config.Error
	var broken fatal
	switch {
	case errors.As(err, &bad) && !bad.Transient():
		return text, exitConfig
	case errors.As(err, &bad), errors.As(err, &broken):
		return text, exitFatal
	}
	return text + "Try 'sled-agent --help'.\n", exitUsage
}

// complaintBudget bounds the time that the exit waits for standard error.
const complaintBudget = time.Second

// complain writes to standard error, which may be a full pipe.
func complain(text string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Fprint(os.Stderr, text)
	}()
	select {
	case <-done:
	case <-time.After(complaintBudget):
	}
}

func command() *cobra.Command {
	return usage.Program(&cobra.Command{
		Use:   "sled-agent",
		Short: "Runs a sled's VMMs on behalf of a control plane",
		Long: `sled-agent runs on every sled. The control plane asks it over HTTP to register,
run, stop, reboot and unregister VMMs. It makes a zone for each, watches it,
reports its state upward and removes it. A stop that was accepted ends.`,
		Version: version,
	}, runCommand(), checkCommand(), ledgerCommand())
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
		RunE:    func(*cobra.Command, []string) error { return runAgent(file) },
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "the configuration `FILE` (TOML)")
	_ = cmd.MarkFlagRequired("config") // it fails only for an unknown flag
	_ = cmd.MarkFlagFilename("config", "toml")
}
