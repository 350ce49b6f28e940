package cli

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// onVMM is a command that does one thing to one VMM.
func (a *app) onVMM(cmd *cobra.Command, do func(context.Context, uuid.UUID) error) *cobra.Command {
	cmd.Use += " ID"
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = a.completeID
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := a.bounded(cmd.Context(), requestTimeout)
		defer cancel()
		id, err := a.resolve(ctx, args[0])
		if err == nil {
			err = do(ctx, id)
		}
		return timedOut(ctx, err)
	}
	return cmd
}

func (a *app) startCommand() *cobra.Command {
	return a.onVMM(&cobra.Command{
		Use:   "start",
		Short: "Start a registered VMM",
		Long: `Start a registered VMM, as Nexus would. It answers at once; what follows is
seen in vmm show, and vmm wait waits for it.`,
		Example: "  sledctl vmm start 81bc22de && sledctl vmm wait 81bc22de --for running",
	}, func(ctx context.Context, id uuid.UUID) error {
		return a.setState(ctx, id, sledapi.Running, "is starting")
	})
}

func (a *app) rebootCommand() *cobra.Command {
	return a.onVMM(&cobra.Command{
		Use:     "reboot",
		Short:   "Reboot a VMM's guest",
		Long:    "Reboot a VMM's guest, as Nexus would.",
		Example: "  sledctl vmm reboot 81bc22de",
	}, func(ctx context.Context, id uuid.UUID) error {
		return a.setState(ctx, id, sledapi.Reboot, "is rebooting")
	})
}

func (a *app) setState(ctx context.Context, id uuid.UUID, to sledapi.Target, otherwise string) error {
	sled, err := a.sled(ctx)
	if err != nil {
		return err
	}
	defer sled.Close()
	record, err := sled.SetState(ctx, id, to, nil)
	if err != nil {
		return err
	}
	return a.print(record, func(view.View) string { return oneLine(id, record, otherwise) })
}

func (a *app) unregisterCommand() *cobra.Command {
	return a.onVMM(&cobra.Command{
		Use:   "unregister",
		Short: "Remove a VMM and take its state over, as Nexus would",
		Long: `Remove a VMM's zone at once and forget the VMM, as Nexus does in its sagas. The
agent publishes nothing of it afterwards, so that Nexus does not learn of it: to
end a VMM that Nexus knows, use vmm stop or vmm kill.`,
		Example: "  sledctl vmm unregister 81bc22de",
	}, func(ctx context.Context, id uuid.UUID) error {
		sled, err := a.sled(ctx)
		if err != nil {
			return err
		}
		defer sled.Close()
		record, err := sled.Unregister(ctx, id)
		if err != nil {
			return err
		}
		return a.print(record, func(view.View) string { return oneLine(id, record, "was not registered") })
	})
}

func (a *app) killCommand() *cobra.Command {
	return a.onVMM(&cobra.Command{
		Use:   "kill",
		Short: "Remove a VMM's zone by force, now",
		Long: `Remove a VMM's zone by force, now: no grace, Propolis is not asked. The VMM ends
Destroyed and Nexus is told so. The guest loses what it has not written.`,
		Example: "  sledctl vmm kill 81bc22de && sledctl vmm wait 81bc22de --for gone",
	}, func(ctx context.Context, id uuid.UUID) error {
		status, err := a.admin.Kill(ctx, id)
		if err != nil {
			return err
		}
		return a.print(status, func(view.View) string {
			return fmt.Sprintf("%s (%s) is being removed by force: %s\n", id, status.Hostname, standing(status))
		})
	})
}

// oneLine says what a request to the sled API led to.
func oneLine(id uuid.UUID, record *vmm.Record, otherwise string) string {
	if record == nil {
		return fmt.Sprintf("%s %s\n", id, otherwise)
	}
	return fmt.Sprintf("%s is %s, generation %d\n", id, record.VMM.State, record.VMM.Gen)
}

// standing is where a VMM stands, in a few words.
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
