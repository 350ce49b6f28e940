package cli

import (
	"context"
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
)

// gone is the goal of a VMM that the agent has forgotten. The other goals are wire
// states.
const gone = "gone"

var goals = []string{string(vmm.WireRunning), string(vmm.WireDestroyed), string(vmm.WireFailed), gone}

// phaseForgotten is the phase of a VMM of which the agent has only a record.
var phaseForgotten = vmm.Forgotten.String()

func parseGoals(names []string) (wanted []string, err error) {
	for _, name := range names {
		name = strings.ToLower(name)
		if !slices.Contains(goals, name) {
			return nil, fail(exitUsage, "--for %s: want some of %s", name, list(goals))
		}
		wanted = append(wanted, name)
	}
	if len(wanted) == 0 {
		return nil, fail(exitUsage, "--for is missing: want some of %s", list(goals))
	}
	return wanted, nil
}

func list(names []string) string { return strings.Join(names, ", ") }

func (a *app) waitCommand() *cobra.Command {
	var names []string
	var wanted []string
	cmd := a.onVMMs(&cobra.Command{
		Use:   "wait ID... --for STATE",
		Short: "Wait until VMMs are running, destroyed, failed or gone",
		Long: `Wait until a VMM is in a state, or in one of several. Gone means that the agent
has forgotten it, since Nexus has acknowledged its end, or without a Nexus that it
has ended; a VMM of which the agent has no record is an error. A restart of the
agent does not end the wait. The VMM's last status is printed.

` + exitCodesHelp,
		Example: `  sledctl vmm wait 81bc22de --for running --timeout 2m
  sledctl vmm wait 81bc22de --for destroyed,failed
  sledctl vmm start --all && sledctl vmm wait --all --for running`,
		PreRunE: func(*cobra.Command, []string) (err error) {
			wanted, err = parseGoals(names)
			return err
		},
	}, bulk{
		limit: func() time.Duration { return waitTimeout },
		find:  a.find,
		begin: func() (action, error) {
			return func(context.Context, target) outcome { return outcome{} }, nil
		},
		then: func(ctx context.Context, o outcome, one bool) outcome {
			if !one {
				a.say("waiting for VMM %s\n", o.target)
			}
			last, err := a.follow(ctx, o.ID, wanted)
			return outcome{target: o.target, answer: last, lines: lastLine(last), err: err}
		},
	})
	cmd.Flags().StringSliceVar(&names, "for", nil, "`state` to wait for: "+list(goals)+"; may be several")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(
		goals, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// follow polls a VMM until one of the goals is reached or has become impossible. It reports
// progress on stderr and returns the last status seen, nil if there was none.
func (a *app) follow(ctx context.Context, id uuid.UUID, wanted []string) (*vmm.Status, error) {
	w := &waiter{wanted: wanted}
	ticks := time.NewTicker(a.Poll)
	defer ticks.Stop()
	for told := ""; ; {
		status, err := a.admin.Show(ctx, id)
		if step := standing(status); err == nil && step != told {
			a.say("%s %s\n", a.view().Clock(a.Now()), step)
			told = step
		}
		if done, err := w.look(status, err); done {
			return w.last, err
		}
		select {
		case <-ctx.Done():
			return w.last, w.gaveUp(ctx)
		case <-ticks.C:
		}
	}
}

func (w *waiter) gaveUp(ctx context.Context) error {
	err := context.Cause(ctx)
	if w.last != nil {
		err = fail(exitCode(err), "%w waiting for %s; VMM %s is %s", err, list(w.wanted), w.last.ID, standing(*w.last))
	}
	return err
}

func lastLine(last *vmm.Status) []string {
	if last == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s is %s", last.ID, standing(*last))}
}

// say reports progress, on stderr to keep the output clean for scripts.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.Err, format, args...) }

// A waiter decides whether a wait is over.
type waiter struct {
	wanted []string
	last   *vmm.Status
}

// look evaluates one answer of the agent. It reports whether the wait is over, and
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
	case slices.Contains(w.wanted, string(state)):
		return true, nil
	case (s.Phase == phaseForgotten || standaloneEnd(s)) && slices.Contains(w.wanted, gone):
		return true, nil
	case state.Terminal() && !slices.Contains(w.wanted, gone):
		return true, w.otherEnd(string(state))
	}
	return false, nil
}

// standaloneEnd reports whether a VMM has ended and its end is not published: without a Nexus the agent
// keeps it for a while, and nothing more happens to it.
func standaloneEnd(s vmm.Status) bool {
	return s.Phase == vmm.Ended.String() && s.Publish == nil && !s.Disowned
}

// vanished handles an answer that the VMM is unknown. The last status tells how it has
// ended.
func (w *waiter) vanished(err error) error {
	switch {
	case w.last == nil:
		return err // probably a mistyped id, since ended VMMs are recorded
	case slices.Contains(w.wanted, gone):
		return nil
	case slices.Contains(w.wanted, w.last.Outcome):
		return nil
	case w.last.Outcome != "":
		return w.otherEnd(w.last.Outcome)
	}
	return fail(exitNotFound, "VMM %s is gone; it was last seen %s", w.last.ID, standing(*w.last))
}

func (w *waiter) otherEnd(how string) error {
	return fail(exitOtherEnd, "VMM %s ended %s, not %s", w.last.ID, joinReason(how, w.last.Reason), list(w.wanted))
}

func joinReason(how, why string) string {
	if why == "" {
		return how
	}
	return how + " (" + why + ")"
}

// transient reports whether an error may come from a restart of the agent. VMs survive
// it, so the wait goes on.
func transient(err error) bool {
	var refused *admin.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err != nil // the wait's own context; its loop handles that
	case errors.As(err, &refused):
		return refused.Status == http.StatusServiceUnavailable
	}
	return true // no agent, or a broken connection
}
