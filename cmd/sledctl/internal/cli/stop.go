package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// removalMargin is what a stop that is waited for may take beyond its grace.
const removalMargin = 5 * time.Minute

func (a *app) stopCommand() *cobra.Command {
	var grace time.Duration
	var wait bool
	cmd := &cobra.Command{
		Use:   "stop ID",
		Short: "Stop a VMM; by force once its grace is over",
		Long: `Stop a VMM, as Nexus would. Propolis is asked to stop the guest; if it has not by
the end of the grace period, the agent removes the zone by force. Either way the
VMM ends Destroyed. A second stop may shorten the grace, never extend it.`,
		Example: `  sledctl vmm stop 81bc22de
  sledctl vmm stop 81bc22de --grace 30s --wait
  sledctl vmm stop 81bc22de --grace 0s      # by force, now`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
		PreRunE: func(*cobra.Command, []string) error {
			if grace < 0 {
				return fail(exitUsage, "--grace %s: want nothing or more", grace)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s := stop{id: args[0], wait: wait}
			if cmd.Flags().Changed("grace") {
				s.grace = &grace
			}
			return a.stop(cmd.Context(), s)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "how long the guest has (default: the agent's watchdog.stop_grace)")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the VMM has ended")
	return cmd
}

// stop is what was asked of the stop command.
type stop struct {
	id    string
	grace *time.Duration
	wait  bool
}

// limit is how long the command may take without --timeout.
func (s stop) limit() time.Duration {
	switch {
	case !s.wait:
		return requestTimeout
	case s.grace == nil:
		return waitTimeout
	}
	return max(waitTimeout, *s.grace+removalMargin)
}

func (a *app) stop(ctx context.Context, s stop) error {
	ctx, cancel := a.bounded(ctx, s.limit())
	defer cancel()
	id, err := a.resolve(ctx, s.id)
	if err != nil {
		return timedOut(ctx, err)
	}
	record, err := a.requestStop(ctx, id, s.grace)
	if err != nil {
		return timedOut(ctx, err)
	}
	if s.wait {
		a.say("%s", oneLine(id, record, "is stopping"))
		return a.wait(ctx, id, goals{destroyed})
	}
	return a.print(record, func(v view.View) string {
		return oneLine(id, record, "is stopping") + a.stopDeadline(ctx, v, id)
	})
}

func (a *app) requestStop(ctx context.Context, id uuid.UUID, grace *time.Duration) (*vmm.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	sled, err := a.sled(ctx)
	if err != nil {
		return nil, err
	}
	defer sled.Close()
	return sled.SetState(ctx, id, sledapi.Stopped, grace)
}

// stopDeadline says until when the guest has, as far as the agent can be asked.
func (a *app) stopDeadline(ctx context.Context, v view.View, id uuid.UUID) string {
	status, err := a.admin.Show(ctx, id)
	if err != nil || status.Deadline == nil {
		return ""
	}
	return fmt.Sprintf("its zone is removed by force at %s\n", v.At(*status.Deadline))
}
