package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	var watch watchFlag
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show on one screen whether all is well on this sled",
		Long: `Show on one screen whether all is well on this sled: the agent, Nexus and what it has
not acknowledged, the drain, VMMs by state, and everything in trouble with its cause.

The exit code is 0 also if something is in trouble; with --check it is then 6.`,
		Example: `  sledctl status
  sledctl status --watch
  sledctl status --check >/dev/null || echo "something is wrong"
  sledctl status -o json | jq '.vmms_in_trouble[].id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			well := true
			err := a.show(cmd.Context(), watch, func(ctx context.Context) (any, func(view.View) string, error) {
				s, err := a.summary(ctx)
				well = s.Well
				return s, func(v view.View) string { return v.Status(s) }, err
			})
			if err == nil && check && !well {
				err = fail(exitTrouble, "this sled is in trouble")
			}
			return err
		},
	}
	watch.add(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "exit with 6 if anything is in trouble")
	cmd.MarkFlagsMutuallyExclusive("check", "watch")
	return cmd
}

// summary asks the agent for all that the summary is made from.
func (a *app) summary(ctx context.Context) (s summary.Summary, err error) {
	return a.summaryOf(ctx, func([]vmm.Status) {})
}

// summaryOf is summary, and passes on the VMMs.
func (a *app) summaryOf(ctx context.Context, pass func([]vmm.Status)) (s summary.Summary, err error) {
	about, err := a.admin.About(ctx)
	if err != nil {
		return s, err
	}
	drain, err := a.admin.Drain(ctx)
	if err != nil {
		return s, err
	}
	all, err := a.admin.List(ctx)
	if err != nil {
		return s, err
	}
	pass(all)
	metrics, err := a.admin.Metrics(ctx)
	s = summary.Of(about, drain, all, metrics, a.Now())
	if err != nil { // the rest is worth showing
		s.Well, s.Troubles = false, append(s.Troubles, explain(err))
	}
	return s, ctx.Err()
}
