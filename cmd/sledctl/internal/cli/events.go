package cli

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// shortID is the length of an id in a line of events.
const shortID = 8

func (a *app) eventsCommand() *cobra.Command {
	var full bool
	query := admin.EventQuery{}
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "Show and follow the events of VMMs",
		Long: `Show the latest events of all VMMs, or of one, oldest first. With --follow, go on
with new events until interrupted, also after a restart of the agent.
With -o json each line is one event, and --jq is applied to each. A reader that does not keep up loses events; a
line says how many. For a VMM that has ended, all recorded events are shown; see
"sledctl vmm list --ended".`,
		Example: `  sledctl events
  sledctl events --follow 81bc22de
  sledctl events --follow --past 0 -o json | jq -c 'select(.error)'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			digits, limit := shortID, requestTimeout
			if full {
				digits = len(uuid.Nil.String())
			}
			if query.Follow {
				limit = 0
			}
			return a.within(cmd.Context(), limit, func(ctx context.Context) (err error) {
				if len(args) == 1 {
					if query.VMM, err = a.find(ctx, args[0]); err != nil {
						return err
					}
				}
				if query.Follow {
					return a.events(ctx, query, digits)
				}
				return a.paged(func() error { return a.events(ctx, query, digits) })
			})
		},
	}
	cmd.Flags().BoolVarP(&query.Follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().IntVar(&query.Past, "past", 50, "how many past events come first")
	cmd.Flags().BoolVar(&full, "full", false, "show whole ids")
	return cmd
}

// missed is how many past events are requested when a stream is resumed.
const missed = 1000

// events prints events. A followed stream is resumed when it ends, for example because
// the agent restarts.
func (a *app) events(ctx context.Context, query admin.EventQuery, digits int) error {
	var last time.Time // time of the newest printed event
	for resumed := false; ; resumed = true {
		err := a.stream(ctx, query, digits, &last)
		ended := err == nil || !refused(err)
		if !query.Follow || ctx.Err() != nil || errors.As(err, new(*exitError)) || !ended && !(resumed && transient(err)) {
			return err
		}
		if ended {
			a.say("the agent ended the stream; reconnecting\n")
		}
		if !last.IsZero() {
			query.Past = missed
		}
		select {
		case <-time.After(a.Poll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// refused reports whether err is a refused connection or a refusal by the agent.
func refused(err error) bool {
	return errors.As(err, new(*admin.NoAgentError)) || errors.As(err, new(*admin.Error))
}

// stream prints the events of one stream that are later than last, and advances last.
func (a *app) stream(ctx context.Context, query admin.EventQuery, digits int, last *time.Time) error {
	seen := *last
	for e, err := range a.admin.Events(ctx, query) {
		switch {
		case err != nil:
			return err
		case !e.At.After(seen):
			continue
		}
		if err := a.printItem(e, func(v view.View) string { return v.Event(e, digits) }); err != nil {
			return fail(exitOther, "%w", err)
		}
		if e.At.After(*last) {
			*last = e.At
		}
	}
	return nil
}
