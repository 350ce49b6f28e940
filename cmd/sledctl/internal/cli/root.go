package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/demo"
)

const rootHelp = `sledctl shows and steers the VMMs of the sled-agent on this host.

It looks through the agent's admin socket, which works without Nexus and without
the network. What Nexus would ask (register, start, stop, reboot, unregister)
goes to the agent's sled API, just as Nexus would ask it.

A VMM is named by its id or by the beginning of one that no other VMM shares.`

const rootExample = `  sledctl vmm list --unhealthy    # what is wrong on this sled?
  sledctl vmm show 81bc           # why is this one stuck, and until when?
  sledctl vmm kill 81bc           # end it now`

// Run runs one command line and returns the exit code.
func Run(ctx context.Context, args []string, env Env) int {
	a := &app{Env: env}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	if a.admin != nil {
		a.admin.Close()
	}
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(env.Err, "sledctl: "+explain(err))
	if !a.begun {
		fmt.Fprintln(env.Err, "Try sledctl --help.")
		return exitUsage
	}
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "sledctl",
		Short:             "Show and steer the VMMs of this host's sled-agent",
		Long:              rootHelp + "\n\n" + exitCodesHelp,
		Example:           rootExample,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.prepare() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", cmp.Or(a.Getenv(socketVariable), defaultSocket),
		"the agent's admin `socket`; "+socketVariable+" sets the default")
	flags.StringVar(&a.api, "api", "", "base `URL` of the sled API (default: the agent is asked for it)")
	flags.StringVarP(&a.output, "output", "o", formatTable, "`format` of what is printed: table or json")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up after this long (default 1m; 15m for what waits)")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
	vmm := group("vmm", "Show and steer VMMs",
		a.listCommand(), a.showCommand(), a.registerCommand(), a.startCommand(), a.stopCommand(),
		a.rebootCommand(), a.unregisterCommand(), a.killCommand(), a.waitCommand())
	vmm.Aliases = []string{"vmms"}
	root.AddCommand(vmm, a.eventsCommand(), a.agentCommand(), demo.Command(), docsCommand())
	a.noteBegun(root)
	return root
}

// noteBegun has every command set begun. A hook before the commands would be
// too early: cobra checks flags after those.
func (a *app) noteBegun(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.begun = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.noteBegun(sub)
	}
}

// group is a command that only holds others. Unlike cobra's own it refuses a
// name that none of them has, instead of printing help and calling it success.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(slices.Clip(commands)...)
	return g
}
