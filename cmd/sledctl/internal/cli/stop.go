package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// removalMargin is how long a stop may take beyond its grace.
const removalMargin = 5 * time.Minute

func (a *app) stopCommand() *cobra.Command {
	var grace time.Duration
	var soft softFlag
	var wait bool
	cmd := &cobra.Command{
		Use:   "stop ID",
		Short: "Stop a VMM; by force once its grace is over",
		Long: `Stop a VMM, as Nexus would. Propolis is asked to stop the guest; if it has not by
the end of the grace period, the agent removes the zone by force. Either way the
VMM ends Destroyed. A second stop may shorten the grace, never extend it.

With --soft Propolis presses the guest's power button and stops it by force only if
it has not powered off by the end of that time. The grace is then at least 30s more
than that, unless --grace is given. A second stop that is not soft ends the wait.
That needs Propolis's API 7 (propolis.api_version); with an earlier one the guest is
stopped at once.`,
		Example: `  sledctl vmm stop 81bc22de
  sledctl vmm stop 81bc22de --grace 30s --wait
  sledctl vmm stop 81bc22de --soft 2m --wait
  sledctl vmm stop 81bc22de --grace 0s      # by force, now`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
		PreRunE: func(*cobra.Command, []string) error {
			if grace < 0 {
				return fail(exitUsage, "--grace %s: must not be negative", grace)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s := stop{id: args[0], soft: soft.given, wait: wait}
			if cmd.Flags().Changed("grace") {
				s.grace = &grace
			}
			return a.within(cmd.Context(), s.limit(), func(ctx context.Context) error { return a.stop(ctx, s) })
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "how long the guest has (default: the agent's watchdog.stop_grace)")
	soft.add(cmd, "how long the guest has to power off by itself (default: it is stopped at once)")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the VMM has ended")
	return cmd
}

// stop holds the arguments of the stop command.
type stop struct {
	id    string
	grace *time.Duration
	soft  *time.Duration
	wait  bool
}

// limit is the command's time limit without --timeout.
func (s stop) limit() time.Duration {
	switch {
	case !s.wait:
		return requestTimeout
	case s.grace != nil:
		return max(waitTimeout, *s.grace+removalMargin)
	case s.soft != nil:
		return max(waitTimeout, *s.soft+vmm.SoftMargin+removalMargin)
	}
	return waitTimeout
}

func (a *app) stop(ctx context.Context, s stop) error {
	id, err := a.resolve(ctx, s.id)
	if err != nil {
		return err
	}
	record, err := a.requestStop(ctx, id, s)
	if err != nil {
		return err
	}
	if s.wait {
		a.say("%s", oneLine(id, record, "is stopping"))
		return a.wait(ctx, id, []string{string(vmm.WireDestroyed)})
	}
	return a.print(record, func(v view.View) string {
		return oneLine(id, record, "is stopping") + a.stopDeadline(ctx, v, id)
	})
}

func (a *app) requestStop(ctx context.Context, id uuid.UUID, s stop) (*vmm.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	sled, err := a.sled()
	if err != nil {
		return nil, err
	}
	defer sled.Close()
	return sled.SetState(ctx, id, wire.Stopped, s.grace, s.soft)
}

// stopDeadline describes the stop's deadline, if the agent can be asked for it.
func (a *app) stopDeadline(ctx context.Context, v view.View, id uuid.UUID) string {
	status, err := a.admin.Show(ctx, id)
	if err != nil || status.Deadline == nil {
		return ""
	}
	return fmt.Sprintf("its zone is removed by force at %s\n", v.At(*status.Deadline))
}
