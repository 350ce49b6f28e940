package cli

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// shortID is how much of an id a line of events shows.
const shortID = 8

func (a *app) eventsCommand() *cobra.Command {
	var full bool
	query := admin.EventQuery{}
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "Show what happened to the VMMs, and follow what happens",
		Long: `Show the latest events of all VMMs, or of one, oldest first. With --follow, go on
with what happens until interrupted. Times are UTC. With -o json each line is one
event. A reader that does not keep up loses events and is told how many.`,
		Example: `  sledctl events
  sledctl events --follow 81bc22de
  sledctl events --follow --past 0 -o json | jq -c 'select(.error)'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if !query.Follow || a.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = a.bounded(ctx, requestTimeout)
				defer cancel()
			}
			if len(args) == 1 {
				var err error
				if query.VMM, err = a.resolve(ctx, args[0]); err != nil {
					return timedOut(ctx, err)
				}
			}
			digits := shortID
			if full {
				digits = len(uuid.Nil.String())
			}
			return timedOut(ctx, a.events(ctx, query, digits))
		},
	}
	cmd.Flags().BoolVarP(&query.Follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().IntVar(&query.Past, "past", 50, "how many past events come first")
	cmd.Flags().BoolVar(&full, "full", false, "show whole ids")
	return cmd
}

func (a *app) events(ctx context.Context, query admin.EventQuery, digits int) error {
	lines := json.NewEncoder(a.Out)
	lines.SetEscapeHTML(false)
	for e, err := range a.admin.Events(ctx, query) {
		switch {
		case err != nil:
			return err
		case a.output == formatJSON:
			err = lines.Encode(e)
		default:
			err = a.print(e, func(v view.View) string { return v.Event(e, digits) })
		}
		if err != nil {
			return err
		}
	}
	if query.Follow {
		return errAgentLeft
	}
	return nil
}

// errAgentLeft ends a followed stream that the reader did not end.
var errAgentLeft = errors.New("the agent ended the stream: it stops, or this reader stalled")
