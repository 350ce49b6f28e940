package cli

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/life"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

var parts = []string{string(life.Stop), string(life.Removal), string(life.Whole)}

// chart is the answer of the timeline command.
type chart struct{ life.Chart }

func (c chart) names() []string { return []string{c.ID.String()} }

func (c chart) svg() string { return c.SVG() }

func (a *app) timelineCommand() *cobra.Command {
	var part string
	cmd := a.onVMM(&cobra.Command{
		Use:   "timeline ID",
		Short: "Draw a VMM's stop, or its whole life, as bars over time",
		Long: `Draw a VMM's stop as bars over time: the request to Propolis, the grace, the
evidence, each step of the removal, the end of the zone and of the publication, and
the deadline as a line. Steps too short to be seen are drawn as one column; --part
removal shows them. A VMM that is not stopped is drawn from its registration.

With -o svg, write a figure. VMMs that have ended are found as by "vmm show".`,
		Example: `  sledctl vmm timeline web-1
  sledctl vmm timeline 81bc22de --part removal
  sledctl vmm timeline 81bc22de -o svg >stop.svg`,
		Annotations: map[string]string{formatSVG: "yes"},
		PreRunE: func(*cobra.Command, []string) error {
			if part != "" && !slices.Contains(parts, part) {
				return fail(exitUsage, "--part %s: want %s", part, list(parts))
			}
			return nil
		},
	}, requestTimeout, a.find, func(ctx context.Context, id uuid.UUID) error {
		status, err := a.admin.Show(ctx, id)
		if err != nil {
			return err
		}
		c, err := life.Of(status, life.Part(part), a.Now())
		if err != nil {
			return err
		}
		return a.paged(func() error { return a.print(chart{c}, func(v view.View) string { return v.Life(c) }) })
	})
	cmd.Flags().StringVar(&part, "part", "", "`what` to draw: stop, removal or life (default: the stop, if there is one)")
	_ = cmd.RegisterFlagCompletionFunc("part", cobra.FixedCompletions(parts, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
