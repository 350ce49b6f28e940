package cli

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

func (a *app) listCommand() *cobra.Command {
	var o view.ListOptions
	var ended bool
	var which selector
	var watch watchFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the VMMs on this sled",
		Long: `List the VMMs on this sled: state and generation as Nexus knows them, the
agent's phase and for how long it has lasted, the deadline of a forced removal,
and what has to happen next. A VMM in trouble is marked, with the reason.

With --ended, list those that have ended instead, the latest first: when, who asked
for it and why. They are kept for as long as the agent's admin.keep_ended says.`,
		Example: `  sledctl vmm list
  sledctl vmm list --unhealthy
  sledctl vmm list --watch
  sledctl vmm list --ended
  sledctl vmm list --selector 'state=running,hostname=web-*'
  sledctl vmm list -o json | jq -r '.[] | select(.phase == "removing") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask, show := a.admin.List, view.View.List
			if ended {
				ask, show = a.admin.Ended, view.View.Ended
			}
			return a.show(cmd.Context(), watch, func(ctx context.Context) (any, func(view.View) string, error) {
				all, err := ask(ctx)
				all = slices.DeleteFunc(all, func(s vmm.Status) bool { return !which.matches(s) })
				return a.chosen(all, o), func(v view.View) string { return show(v, all, o) }, err
			})
		},
	}
	cmd.Flags().BoolVar(&o.Full, "full", false, "show whole ids")
	cmd.Flags().BoolVar(&o.Unhealthy, "unhealthy", false, "show only VMMs in trouble")
	cmd.Flags().BoolVar(&ended, "ended", false, "show VMMs that have ended, the latest first")
	which.add(cmd)
	watch.add(cmd)
	return cmd
}

// chosen returns the part of a list that -o json prints.
func (a *app) chosen(all []vmm.Status, o view.ListOptions) []vmm.Status {
	now := a.Now()
	return slices.DeleteFunc(slices.Clone(all), func(s vmm.Status) bool {
		return o.Unhealthy && len(admin.Troubles(s, now)) == 0
	})
}

func (a *app) showCommand() *cobra.Command {
	return a.onVMM(&cobra.Command{
		Use:   "show ID",
		Short: "Show everything known about a VMM, with a timeline",
		Long: `Show everything known about a VMM: what is wrong with it, its state, what
it waits for and until when, what Propolis, the host and Nexus were asked and said
last, and a timeline of its events up to now and to its deadline.

A VMM that has ended is shown as it was then. It is found by its id, the beginning
of that, or its hostname, as "sledctl vmm list --ended" has them.`,
		Example: `  sledctl vmm show 81bc22de
  sledctl vmm show web-1                    # how it has ended
  sledctl vmm show 81bc22de -o json | jq .removal.last_error`,
	}, requestTimeout, a.find, func(ctx context.Context, id uuid.UUID) error {
		status, err := a.admin.Show(ctx, id)
		if err != nil {
			return err
		}
		return a.paged(func() error { return a.print(status, func(v view.View) string { return v.Show(status) }) })
	})
}

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Describe the running agent",
		Example: `  sledctl agent
  sledctl agent -o json | jq -r .api`,
		Args: cobra.NoArgs,
		RunE: answers(a, (*admin.Client).About, view.View.About),
	}
}
