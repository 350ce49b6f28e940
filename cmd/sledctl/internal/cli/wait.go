package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// A goal is what a VMM may be waited for to be.
type goal string

const (
	running   goal = "running"
	destroyed goal = "destroyed"
	failed    goal = "failed"
	// gone: the agent has forgotten the VMM.
	gone goal = "gone"
)

// phaseForgotten is the phase of a VMM that the agent has only a memory of.
var phaseForgotten = vmm.Forgotten.String()

// goals are reached when one of them is.
type goals []goal

var allGoals = goals{running, destroyed, failed, gone}

func (g goals) String() string {
	names := make([]string, len(g))
	for i, one := range g {
		names[i] = string(one)
	}
	return strings.Join(names, ", ")
}

func parseGoals(names []string) (goals, error) {
	var g goals
	for _, name := range names {
		one := goal(strings.ToLower(name))
		if !slices.Contains(allGoals, one) {
			return nil, fail(exitUsage, "--for %s: want some of %s", name, allGoals)
		}
		g = append(g, one)
	}
	if len(g) == 0 {
		return nil, fail(exitUsage, "--for is missing: want some of %s", allGoals)
	}
	return g, nil
}

func (a *app) waitCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "wait ID --for STATE",
		Short: "Wait until a VMM is running, destroyed, failed or gone",
		Long: `Wait until a VMM is in a state, or in one of several. Gone means that the agent
has forgotten it, since Nexus knows of its end. A restart of the agent does not
end the wait. The VMM's last status is printed.

` + exitCodesHelp,
		Example: `  sledctl vmm wait 81bc22de --for running --timeout 2m
  sledctl vmm wait 81bc22de --for destroyed,failed`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parseGoals(names)
			if err != nil {
				return err
			}
			ctx, cancel := a.bounded(cmd.Context(), waitTimeout)
			defer cancel()
			id, err := a.resolve(ctx, args[0])
			if err != nil {
				return timedOut(ctx, err)
			}
			return a.wait(ctx, id, wanted)
		},
	}
	cmd.Flags().StringSliceVar(&names, "for", nil, "`state` to wait for: "+allGoals.String()+"; may be several")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(
		strings.Split(allGoals.String(), ", "), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// wait looks at a VMM until one of the goals is reached or cannot be any more,
// tells its steps on stderr and prints its last status.
func (a *app) wait(ctx context.Context, id uuid.UUID, wanted goals) error {
	w := &waiter{wanted: wanted}
	ticks := time.NewTicker(a.Poll)
	defer ticks.Stop()
	for told := ""; ; {
		status, err := a.admin.Show(ctx, id)
		if step := standing(status); err == nil && step != told {
			a.say("%s %s\n", a.Now().UTC().Format("15:04:05"), step)
			told = step
		}
		if done, err := w.look(status, err); done {
			return errors.Join(a.printLast(w.last), err)
		}
		select {
		case <-ctx.Done():
			return a.gaveUp(ctx, w)
		case <-ticks.C:
		}
	}
}

func (a *app) gaveUp(ctx context.Context, w *waiter) error {
	err := timedOut(ctx, ctx.Err())
	if w.last != nil {
		err = fmt.Errorf("%w waiting for %s; VMM %s is %s", err, w.wanted, w.last.ID, standing(*w.last))
	}
	return errors.Join(a.printLast(w.last), err)
}

// printLast prints the status that was seen last; null in JSON if there was none.
func (a *app) printLast(last *vmm.Status) error {
	if a.output == formatJSON && last == nil {
		return printJSON(a.Out, json.RawMessage("null"))
	}
	return a.print(last, func(view.View) string {
		if last == nil {
			return ""
		}
		return fmt.Sprintf("%s is %s\n", last.ID, standing(*last))
	})
}

// say tells of progress, on stderr so that scripts' output stays clean.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.Err, format, args...) }

// A waiter decides by each look at a VMM whether the wait is over.
type waiter struct {
	wanted goals
	last   *vmm.Status
}

// look takes one answer of the agent's and tells whether the wait is over, and
// with which error.
func (w *waiter) look(s vmm.Status, err error) (bool, error) {
	switch {
	case admin.IsUnknown(err):
		return true, w.vanished(err)
	case w.last != nil && transient(err):
		return false, nil
	case err != nil:
		return true, err
	}
	w.last = &s
	state := s.Record.VMM.State
	switch {
	case slices.Contains(w.wanted, goal(state)):
		return true, nil
	case s.Phase == phaseForgotten && slices.Contains(w.wanted, gone):
		return true, nil
	case state.Terminal() && !slices.Contains(w.wanted, gone):
		return true, w.otherEnd(string(state))
	}
	return false, nil
}

// vanished: the agent does not know the VMM, or no longer. How it ended is what
// the last look said would become of it.
func (w *waiter) vanished(err error) error {
	switch {
	case slices.Contains(w.wanted, gone):
		return nil
	case w.last == nil:
		return err
	case slices.Contains(w.wanted, goal(w.last.Outcome)):
		return nil
	case w.last.Outcome != "":
		return w.otherEnd(w.last.Outcome)
	}
	return fail(exitNotFound, "VMM %s is gone; it was last seen %s", w.last.ID, standing(*w.last))
}

func (w *waiter) otherEnd(how string) error {
	return fail(exitOtherEnd, "VMM %s ended %s, not %s", w.last.ID, joinReason(how, w.last.Reason), w.wanted)
}

func joinReason(how, why string) string {
	if why == "" {
		return how
	}
	return how + " (" + why + ")"
}

// transient tells whether an error may be that of an agent which restarts: its
// VMs live on, so it is worth asking again.
func transient(err error) bool {
	var nobody *admin.NoAgentError
	var refused *admin.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err != nil // the wait's own end; its loop sees to that
	case errors.As(err, &nobody):
		return true
	case errors.As(err, &refused):
		return refused.Status == http.StatusServiceUnavailable
	}
	return true // a connection that broke
}
