package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/usage"
)

const rootHelp = `sledctl shows and controls the VMMs of the sled-agent on this host.

It uses the agent's admin socket, which works without Nexus and without the
network. Requests that Nexus makes (register, start, stop, reboot, unregister) go to
the agent's sled API, there or at --api; the agent records that an operator asked.

A VMM is named by its id, by the beginning of one that no other VMM shares, or by
its hostname if no other VMM has it.`

const rootExample = `  sledctl status                  # is all well?
  sledctl vmm list --unhealthy    # what is wrong on this sled?
  sledctl vmm show 81bc           # why is this one stuck, and until when?
  sledctl vmm kill 81bc           # end it now`

// Run runs one command line and returns the exit code.
func Run(ctx context.Context, args []string, env Env) int {
	out := &checked{w: env.Out}
	env.Out = out
	a := &app{Env: env, ctx: ctx}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	for _, end := range a.closers {
		end()
	}
	if err == nil {
		err = out.err
	}
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(env.Err, "sledctl: "+explain(err))
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	if !a.begun && out.err == nil {
		fmt.Fprintln(env.Err, "Try sledctl --help.")
		return exitUsage
	}
	return exitCode(err)
}

// checked records the first error of a writer: cobra ignores errors of its help.
type checked struct {
	w   io.Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.err = cmp.Or(c.err, err)
	return n, err
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sledctl",
		Short:         "Show and control the VMMs of this host's sled-agent",
		Long:          rootHelp + "\n\n" + formatsHelp + "\n\n" + exitCodesHelp,
		Example:       rootExample,
		Version:       a.Version,
		Args:          usage.NoSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.prepare(); err != nil {
				return err
			}
			return a.output.suits(cmd)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", cmp.Or(a.Getenv(socketVariable), defaultSocket),
		"the agent's admin `socket`, if not that of "+socketVariable)
	flags.StringVar(&a.api, "api", "", "base `URL` of the sled API (default: on the admin socket)")
	a.tls.add(flags)
	a.output.add(flags, root)
	flags.StringVar(&a.color, "color", colorAuto, "`when` to use colors: auto (on a terminal, unless NO_COLOR is set), always or never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colors, cobra.ShellCompDirectiveNoFileComp))
	flags.BoolVar(&a.local, "local", false, "show times in the local time zone")
	flags.Bool("utc", false, "show times in UTC (the default)")
	root.MarkFlagsMutuallyExclusive("local", "utc")
	flags.BoolVar(&a.noPager, "no-pager", false, "do not show long output in a pager on a terminal")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up after this long (default 1m; 15m for what waits)")
	vmm := group("vmm", "Show and control VMMs",
		a.listCommand(), a.showCommand(), a.timelineCommand(), a.registerCommand(), a.startCommand(), a.stopCommand(),
		a.rebootCommand(), a.unregisterCommand(), a.killCommand(), a.waitCommand(), a.consoleCommand())
	vmm.Aliases = []string{"vmms"}
	root.AddCommand(a.statusCommand(), a.topCommand(), vmm, a.zoneGroup(), a.drainCommand(), a.undrainCommand(), a.eventsCommand(), a.agentGroup(), a.reportCommand(), docsCommand())
	a.noteBegun(root)
	return root
}

// noteBegun makes every command set begun. A hook that runs before the commands would be
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

// group makes a command that only has subcommands. Unlike cobra's default, an unknown
// subcommand is an error and does not print help with exit code 0.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  usage.NoSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(slices.Clip(commands)...)
	return g
}
