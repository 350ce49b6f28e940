package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// maxGoroutines bounds what is read of the list of goroutines, in bytes.
const maxGoroutines = 8 << 20

// agentGroup is the command agent with what shows and changes the agent's process.
func (a *app) agentGroup() *cobra.Command {
	cmd := a.agentCommand()
	cmd.AddCommand(a.logLevelCommand(), a.configCommand(), a.reloadCommand(), a.healthCommand(), a.goroutinesCommand())
	return cmd
}

func (a *app) logLevelCommand() *cobra.Command {
	var span time.Duration
	var reset bool
	cmd := &cobra.Command{
		Use:   "log-level [LEVEL]",
		Short: "Show the log's level, or set it for a while",
		Long: `Show the level of the agent's log, or set it to trace, debug, info, warn or error. It
falls back to the configured level by itself: after --for, with --reset, or when the
agent is started again.`,
		Example: `  sledctl agent log-level
  sledctl agent log-level debug --for 10m
  sledctl agent log-level --reset`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"trace", "debug", "info", "warn", "error"},
		PreRunE: func(_ *cobra.Command, args []string) error {
			switch {
			case span <= 0:
				return fail(exitUsage, "--for %s: must be positive", span)
			case reset && len(args) > 0:
				return fail(exitUsage, "--reset and a level exclude each other")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := (*admin.Client).LogLevel
			switch {
			case reset:
				ask = (*admin.Client).ResetLogLevel
			case len(args) > 0:
				ask = func(c *admin.Client, ctx context.Context) (admin.LogLevel, error) {
					return c.SetLogLevel(ctx, args[0], span)
				}
			}
			return answers(a, ask, levelText)(cmd, args)
		},
	}
	cmd.Flags().DurationVar(&span, "for", 10*time.Minute, "how long, at most 24h")
	cmd.Flags().BoolVar(&reset, "reset", false, "fall back to the configured level now")
	return cmd
}

func levelText(v view.View, l admin.LogLevel) string {
	if l.Until == nil {
		return fmt.Sprintf("the log level is %s, as configured\n", l.Level)
	}
	return fmt.Sprintf("the log level is %s, by %s, and falls back to %s at %s\n", l.Level, l.By, l.Configured, v.At(*l.Until))
}

func (a *app) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show the configuration in force",
		Long: `Show the configuration that the running agent has read, with all defaults. What
looks like a secret in the server's command line is not shown.`,
		Example: "  sledctl agent config -o json | jq '.values[\"watchdog.stop_grace\"]'",
		Args:    cobra.NoArgs,
		RunE:    answers(a, (*admin.Client).Config, configText),
	}
}

func configText(_ view.View, c admin.Config) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# from %s\n", c.File)
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		value, _ := json.Marshal(c.Values[name]) // it was decoded from JSON
		fmt.Fprintf(&out, "%s = %s\n", name, value)
	}
	return out.String()
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the agent read its configuration again",
		Long: `Have the agent read its configuration again, as SIGHUP does. The keys log.level,
watchdog.* and evidence.* are applied; deadlines that are pending stay as they are.
Other keys that have changed are named, and need a restart of the agent, which harms
no VM. A configuration that is wrong changes nothing: exit code 1, and the reason.

Certificates and the web configuration file of the metrics are read again when they
change, without a reload.`,
		Example: "  sled-agent check --config /etc/sled-agent/sled-agent.toml && sledctl agent reload",
		Args:    cobra.NoArgs,
		RunE:    answers(a, (*admin.Client).Reload, reloadText),
	}
}

func reloadText(_ view.View, r admin.Reloaded) string {
	text := "nothing has changed\n"
	if len(r.Applied) > 0 {
		text = "changed: " + strings.Join(r.Applied, ", ") + "\n"
	}
	if len(r.Restart) > 0 {
		text += "changed but needs a restart: " + strings.Join(r.Restart, ", ") + "\n"
	}
	return text
}

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Check whether the agent keeps deadlines and serves",
		Long: `Check whether the agent can keep its deadlines, and whether it serves: its ledger
is loaded and can be written, the sled API listens, no part has failed. A drain does
not matter. Exit codes: 0 all is well, 1 something is not.`,
		Example: "  sledctl agent health || sledctl report",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.within(cmd.Context(), requestTimeout, func(ctx context.Context) error {
				h, err := a.admin.Ready(ctx)
				if err == nil {
					err = a.print(h, func(view.View) string { return healthText(h) })
				}
				if err == nil && !h.OK {
					err = fail(exitOther, "the agent is not well")
				}
				return err
			})
		},
	}
}

func healthText(h admin.Health) string {
	var out strings.Builder
	for _, c := range h.Checks {
		state := "ok"
		if !c.OK {
			state = "FAILED: " + strings.ReplaceAll(c.Error, "\n", "; ")
		}
		fmt.Fprintf(&out, "%-14s %s\n", c.Name, state)
	}
	return out.String()
}

func (a *app) goroutinesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "goroutines",
		Short: "Show what the agent's goroutines do",
		Long: `Show the stacks of the agent's goroutines, equal ones as one entry with their number,
for a report of a bug or when the agent hangs.`,
		Example: "  sledctl agent goroutines | head -40",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.within(cmd.Context(), requestTimeout, func(ctx context.Context) error {
				status, body, err := a.admin.Get(ctx, "/v1/goroutines", maxGoroutines)
				if err != nil {
					return err
				}
				if status != 200 {
					return fail(exitOther, "the agent answered %d: %s", status, strings.TrimSpace(string(body)))
				}
				_, err = a.Out.Write(body)
				return err
			})
		},
	}
}
