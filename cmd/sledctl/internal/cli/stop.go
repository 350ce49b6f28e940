package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// removalMargin is how long a stop may take beyond its grace.
const removalMargin = 5 * time.Minute

func (a *app) stopCommand() *cobra.Command {
	var grace time.Duration
	var soft softFlag
	s := &stop{}
	cmd := &cobra.Command{
		Use:   "stop ID...",
		Short: "Stop VMMs; by force once their grace is over",
		Long: `Stop a VMM, as Nexus would. Propolis is asked to stop the guest; if it has not by
the end of the grace period, the agent removes the zone by force. Either way the
VMM ends Destroyed. A second stop may shorten the grace, never extend it. The agent
limits a grace to its watchdog.max_stop_grace; the output says so.

With --soft Propolis presses the guest's power button and stops it by force only if
it has not powered off by the end of that time. The grace is then at least 30s more
than that, unless --grace is given. A second stop that is not soft ends the wait.
That needs Propolis's API 7 (propolis.api_version); with an earlier one the guest is
stopped at once.`,
		Example: `  sledctl vmm stop 81bc22de
  sledctl vmm stop 81bc22de --grace 30s --wait
  sledctl vmm stop 81bc22de --soft 2m --wait
  sledctl vmm stop 81bc22de --grace 0s      # by force, now
  sledctl vmm stop web-1 web-2
  sledctl vmm stop --selector 'state=running,hostname=web-*' --wait
  sledctl vmm stop --all                    # "sledctl drain" also takes no new ones`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 {
				return fail(exitUsage, "--grace %s: must not be negative", grace)
			}
			s.soft = soft.given
			if cmd.Flags().Changed("grace") {
				s.grace = &grace
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "how long the guest has (default: the agent's watchdog.stop_grace)")
	soft.add(cmd, "how long the guest has to power off by itself (default: it is stopped at once)")
	cmd.Flags().BoolVar(&s.wait, "wait", false, "wait until the VMMs have ended")
	return a.onVMMs(cmd, bulk{
		limit: s.limit,
		begin: func() (action, error) { return a.beginStop(s) },
		then:  func(ctx context.Context, o outcome, _ bool) outcome { return a.waitForStop(ctx, s, o) },
	})
}

// stop holds the arguments of the stop command.
type stop struct {
	grace, soft *time.Duration
	wait        bool
}

// limit is the command's time limit without --timeout.
func (s *stop) limit() time.Duration {
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

func (a *app) beginStop(s *stop) (action, error) {
	sled, err := a.sled()
	return func(ctx context.Context, t target) outcome {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		record, err := sled.SetState(ctx, t.ID, wire.Stopped, s.grace, s.soft)
		if err != nil {
			return outcome{err: err}
		}
		lines := append([]string{oneLine(t, record, "is stopping")}, a.stopDeadline(ctx, t.ID, s.grace)...)
		return outcome{answer: changed{t.ID, record}, lines: lines}
	}, err
}

// waitForStop waits for the end of a VMM that was stopped, if that is asked for.
func (a *app) waitForStop(ctx context.Context, s *stop, o outcome) outcome {
	if !s.wait {
		return o
	}
	a.say("%s\n", strings.Join(o.lines, "; "))
	last, err := a.follow(ctx, o.ID, []string{string(vmm.WireDestroyed)})
	if errors.Is(err, context.Canceled) {
		a.say("the stop goes on\n")
	}
	return outcome{target: o.target, answer: last, lines: lastLine(last), err: err}
}

// stopDeadline describes the stop's deadline, if the agent can be asked for it, and that
// the grace is not what was asked for.
func (a *app) stopDeadline(ctx context.Context, id uuid.UUID, grace *time.Duration) (lines []string) {
	status, err := a.admin.Show(ctx, id)
	if err != nil || status.Deadline == nil {
		return nil
	}
	lines = []string{"its zone is removed by force at " + a.view().At(*status.Deadline)}
	if stop := status.Stop; stop != nil && grace != nil && stop.Grace < *grace {
		lines = append(lines, fmt.Sprintf("its grace is %s, not %s: the agent's watchdog.max_stop_grace or an earlier stop limits it",
			admin.Span(stop.Grace), admin.Span(*grace)))
	}
	return lines
}
