package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// onVMM makes a command on one VMM. find resolves its argument.
func (a *app) onVMM(cmd *cobra.Command, limit time.Duration, find func(context.Context, string) (uuid.UUID, error),
	do func(context.Context, uuid.UUID) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = a.completeID
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.within(cmd.Context(), limit, func(ctx context.Context) error {
			id, err := find(ctx, args[0])
			if err != nil {
				return err
			}
			return do(ctx, id)
		})
	}
	return cmd
}

// change makes a command that changes VMMs through the sled API. otherwise is the output if
// the answer has no record. named is as in bulk.
func (a *app) change(cmd *cobra.Command, named bool, otherwise string,
	ask func(context.Context, *api.Client, uuid.UUID) (*vmm.Record, error)) *cobra.Command {
	return a.onVMMs(cmd, bulk{named: named, begin: func() (action, error) {
		sled, err := a.sled()
		return func(ctx context.Context, t target) outcome {
			record, err := ask(ctx, sled, t.ID)
			if err != nil {
				return outcome{err: err}
			}
			return outcome{answer: changed{t.ID, record}, lines: []string{oneLine(t, record, otherwise)}}
		}, err
	}})
}

func (a *app) startCommand() *cobra.Command {
	return a.change(&cobra.Command{
		Use:   "start ID...",
		Short: "Start registered VMMs",
		Long: `Start registered VMMs, as Nexus would. It answers at once; what follows is seen in
vmm show, and vmm wait waits for it.`,
		Example: "  sledctl vmm start 81bc22de && sledctl vmm wait 81bc22de --for running",
	}, false, "is starting", func(ctx context.Context, sled *api.Client, id uuid.UUID) (*vmm.Record, error) {
		return sled.SetState(ctx, id, wire.Running, nil, nil)
	})
}

func (a *app) rebootCommand() *cobra.Command {
	var soft softFlag
	cmd := a.change(&cobra.Command{
		Use:   "reboot ID...",
		Short: "Reboot VMMs' guests",
		Long: `Reboot VMMs' guests, as Nexus would. With --soft Propolis presses the guest's
power button and resets the guest by force only if it has not shut down by the end
of that time. That needs Propolis's API 7 (propolis.api_version); with an earlier
one the guest is reset at once.`,
		Example: `  sledctl vmm reboot 81bc22de
  sledctl vmm reboot 81bc22de --soft 30s`,
	}, false, "is rebooting", func(ctx context.Context, sled *api.Client, id uuid.UUID) (*vmm.Record, error) {
		return sled.SetState(ctx, id, wire.Reboot, nil, soft.given)
	})
	soft.add(cmd, "how long the guest has to shut down by itself (default: it is reset at once)")
	return cmd
}

func (a *app) unregisterCommand() *cobra.Command {
	return a.change(&cobra.Command{
		Use:   "unregister ID...",
		Short: "Remove VMMs and take their state over, as Nexus would",
		Long: `Remove a VMM's zone at once and forget the VMM, as Nexus does in its sagas. The
agent publishes nothing of it afterwards, so that Nexus does not learn of it: to
end a VMM that Nexus knows, use vmm stop or vmm kill.`,
		Example: "  sledctl vmm unregister 81bc22de",
	}, true, "was not registered", func(ctx context.Context, sled *api.Client, id uuid.UUID) (*vmm.Record, error) {
		return sled.Unregister(ctx, id)
	})
}

func (a *app) killCommand() *cobra.Command {
	return a.onVMMs(&cobra.Command{
		Use:   "kill ID...",
		Short: "Remove VMMs' zones by force, now",
		Long: `Remove a VMM's zone by force, now: no grace, Propolis is not asked. The VMM ends
Destroyed and Nexus receives that. The guest loses unwritten data.`,
		Example: `  sledctl vmm kill 81bc22de && sledctl vmm wait 81bc22de --for gone
  sledctl vmm kill web-1 web-2
  sledctl vmm kill --selector phase=booting`,
	}, bulk{begin: func() (action, error) { return a.kill, nil }})
}

func (a *app) kill(ctx context.Context, t target) outcome {
	status, err := a.admin.Kill(ctx, t.ID)
	if err != nil {
		return outcome{err: err}
	}
	doing := "is being removed by force"
	if status.Record.VMM.State.Terminal() {
		doing = "has ended"
	}
	line := fmt.Sprintf("%s (%s) %s: %s", t.ID, status.Hostname, doing, standing(status))
	return outcome{answer: status, lines: []string{line}}
}

// oneLine describes the result of a request to the sled API.
func oneLine(t target, record *vmm.Record, otherwise string) string {
	if record == nil {
		return fmt.Sprintf("%s %s", t, otherwise)
	}
	return fmt.Sprintf("%s is %s, generation %d", t, record.VMM.State, record.VMM.Gen)
}

// standing summarizes a VMM's phase and what it waits for.
func standing(s vmm.Status) string {
	text := fmt.Sprintf("%s, %s", s.Record.VMM.State, s.Phase)
	if s.Removal != nil && s.Removal.Gone == nil && s.Removal.Rung != "" {
		text += " (" + s.Removal.Rung + ")"
	}
	if s.WaitsFor != "" {
		text += ", waits for " + s.WaitsFor
	}
	return text
}
