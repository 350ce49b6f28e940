package cli

import (
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

func (a *app) listCommand() *cobra.Command {
	var o view.ListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the VMMs on this sled",
		Long: `List the VMMs on this sled: state and generation as Nexus knows them, the
agent's phase and for how long it has lasted, the deadline of a forced removal,
and what has to happen next. A VMM in trouble is marked and says why.`,
		Example: `  sledctl vmm list
  sledctl vmm list --unhealthy
  sledctl vmm list -o json | jq -r '.[] | select(.phase == "removing") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context(), requestTimeout)
			defer cancel()
			all, err := a.admin.List(ctx)
			if err != nil {
				return timedOut(ctx, err)
			}
			return a.print(a.chosen(all, o), func(v view.View) string { return v.List(all, o) })
		},
	}
	cmd.Flags().BoolVar(&o.Full, "full", false, "show whole ids")
	cmd.Flags().BoolVar(&o.Unhealthy, "unhealthy", false, "show only VMMs in trouble")
	return cmd
}

// chosen is what -o json prints of a list.
func (a *app) chosen(all []vmm.Status, o view.ListOptions) []vmm.Status {
	chosen := []vmm.Status{}
	now := a.Now()
	for _, s := range all {
		if !o.Unhealthy || len(admin.Troubles(s, now)) > 0 {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show all there is to know of a VMM, and its timeline",
		Long: `Show all there is to know of a VMM: what is wrong with it, where it stands, what
it waits for and until when, what Propolis, the host and Nexus were asked and said
last, and a timeline of its events up to now and to its deadline. Times are UTC.`,
		Example: `  sledctl vmm show 81bc22de
  sledctl vmm show 81bc22de -o json | jq .removal.last_error`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.bounded(cmd.Context(), requestTimeout)
			defer cancel()
			id, err := a.resolve(ctx, args[0])
			if err != nil {
				return timedOut(ctx, err)
			}
			status, err := a.admin.Show(ctx, id)
			if err != nil {
				return timedOut(ctx, err)
			}
			return a.print(status, func(v view.View) string { return v.Show(status) })
		},
	}
}

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Show which agent this is",
		Example: `  sledctl agent
  sledctl agent -o json | jq -r .api`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context(), requestTimeout)
			defer cancel()
			about, err := a.admin.About(ctx)
			if err != nil {
				return timedOut(ctx, err)
			}
			return a.print(about, func(v view.View) string { return v.About(about) })
		},
	}
}
