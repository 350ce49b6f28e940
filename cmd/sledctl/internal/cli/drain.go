package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// drawEvery is how often the table of a drain is drawn on a terminal, for the countdowns.
const drawEvery = time.Second

func (a *app) drainCommand() *cobra.Command {
	var grace time.Duration
	var wait bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Stop all VMMs of this sled and take no new ones",
		Long: `Refuse to register and start VMMs on this sled, and stop all that it has, at the
same time: each by force once the grace is over. Every VMM ends Destroyed and Nexus
receives that. It holds across restarts of the agent and of the host, until
"sledctl undrain". A second drain may shorten the grace, never extend it.

Without --wait it returns once the drain is accepted. With --wait it shows the VMMs
until all have ended, and then how each has. Interrupting that changes nothing about
the drain; the same command shows it again. For maintenance of a host:

  sledctl drain --grace 2m --wait && shutdown now

The exit code of --wait is 0 if all VMMs ended Destroyed, 5 if one ended Failed, and 1
if the drain was ended by undrain.`,
		Example: `  sledctl drain
  sledctl drain --grace 2m --wait
  sledctl drain --wait -o json | jq '.vmms[] | select(.record.vmm_state.state != "destroyed")'`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if grace < 0 {
				return fail(exitUsage, "--grace %s: must not be negative", grace)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := stop{wait: wait}
			if cmd.Flags().Changed("grace") {
				s.grace = &grace
			}
			return a.within(cmd.Context(), s.limit(), func(ctx context.Context) error { return a.drain(ctx, s) })
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "how long the guests have (default: the agent's watchdog.stop_grace)")
	cmd.Flags().BoolVar(&wait, "wait", false, "show the VMMs until all have ended")
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "undrain",
		Short: "Take VMMs again after a drain",
		Long: `End a drain: VMMs are registered and started again. Stops that were accepted stay
accepted. A sled that Nexus evacuates as well takes no VMMs until Nexus says
otherwise. It is no error if there is no drain.`,
		Example: "  sledctl undrain",
		Args:    cobra.NoArgs,
		RunE:    answers(a, (*admin.Client).EndDrain, view.View.Drain),
	}
}

func (a *app) drain(ctx context.Context, s stop) error {
	before, err := a.admin.List(ctx) // some may have ended right after the drain began
	if err != nil {
		return err
	}
	now, err := a.admin.BeginDrain(ctx, s.grace)
	if err != nil {
		return err
	}
	if !s.wait {
		return a.print(now, func(v view.View) string { return v.Drain(now) })
	}
	a.say("%s", a.view().Drain(now))
	w := &drainWaiter{app: a, now: now, vmms: []vmm.Status{}, told: map[uuid.UUID]string{}}
	w.update(before)
	err = w.wait(ctx)
	w.erase()
	return errors.Join(a.print(drained{w.now, w.vmms}, func(v view.View) string { return v.DrainResult(w.vmms) }), err)
}

// drained is the output of a drain as JSON.
type drained struct {
	Drain disposition.Status `json:"drain"`
	VMMs  []vmm.Status       `json:"vmms"`
}

// A drainWaiter follows a drain.
type drainWaiter struct {
	*app
	now disposition.Status
	// vmms are the VMMs that had not ended when they were first seen, with their last
	// status, in the order of their hostnames.
	vmms []vmm.Status
	told map[uuid.UUID]string // their last lines
	// lines is the height of the table on the terminal, at is when it was drawn.
	lines int
	at    time.Time
}

// wait polls until all VMMs have ended. A restart of the agent does not end it.
func (w *drainWaiter) wait(ctx context.Context) error {
	ticks := time.NewTicker(w.Poll)
	defer ticks.Stop()
	for {
		switch done, err := w.look(ctx); {
		case done, err != nil && !transient(err):
			return err
		}
		select {
		case <-ctx.Done():
			return w.gaveUp(ctx)
		case <-ticks.C:
		}
	}
}

// look updates the VMMs and shows them. It reports whether the wait is over; then the error
// is its result.
func (w *drainWaiter) look(ctx context.Context) (done bool, err error) {
	now, err := w.admin.Drain(ctx)
	if err != nil {
		return false, err
	}
	all, err := w.admin.List(ctx)
	if err != nil {
		return false, err
	}
	w.now = now
	w.update(all)
	if err := w.recall(ctx, all); err != nil {
		return false, err
	}
	w.show()
	left := slices.ContainsFunc(w.vmms, func(s vmm.Status) bool { return !view.Drained(s) })
	switch {
	case !left:
		return true, w.verdict()
	case w.now.Operator == nil:
		return true, fail(exitOther, "the drain was ended while VMMs were left")
	}
	return false, nil
}

// update stores the status of VMMs.
func (w *drainWaiter) update(all []vmm.Status) {
	for _, s := range all {
		if i := w.find(s.ID); i >= 0 {
			w.vmms[i] = s
		} else if !view.Drained(s) {
			w.vmms = append(w.vmms, s)
		}
	}
	slices.SortFunc(w.vmms, func(a, b vmm.Status) int {
		return cmp.Or(strings.Compare(a.Hostname, b.Hostname), bytes.Compare(a.ID[:], b.ID[:]))
	})
}

func (w *drainWaiter) find(id uuid.UUID) int {
	return slices.IndexFunc(w.vmms, func(s vmm.Status) bool { return s.ID == id })
}

// recall asks for the ends of VMMs that the agent no longer lists.
func (w *drainWaiter) recall(ctx context.Context, listed []vmm.Status) error {
	for i, s := range w.vmms {
		if view.Drained(s) || slices.ContainsFunc(listed, func(l vmm.Status) bool { return l.ID == s.ID }) {
			continue
		}
		last, err := w.admin.Show(ctx, s.ID)
		switch {
		case admin.IsUnknown(err): // the agent keeps no records of the ended
			s.Record.VMM.State, s.Reason = vmm.WireDestroyed, "it is gone, and the agent keeps no record of it"
			if s.Outcome == vmm.Failed.String() { // otherwise its stop was accepted
				s.Record.VMM.State = vmm.WireFailed
			}
			w.vmms[i] = s
		case err != nil:
			return err
		default:
			last.Events = nil
			w.vmms[i] = last
		}
	}
	return nil
}

// show draws the table on a terminal, and otherwise prints a line for each change.
func (w *drainWaiter) show() {
	v := w.view()
	if w.IsTerminal && w.output.people() {
		if time.Since(w.at) < drawEvery && w.lines > 0 {
			return
		}
		w.erase()
		text := v.DrainProgress(w.vmms)
		_, _ = io.WriteString(w.Out, text) // the next write fails too
		w.lines, w.at = strings.Count(text, "\n"), time.Now()
		return
	}
	for _, s := range w.vmms {
		if line := v.DrainStep(s); line != w.told[s.ID] {
			w.told[s.ID] = line
			w.say("%s %s\n", v.Clock(w.Now()), line)
		}
	}
}

// erase removes the table from the terminal.
func (w *drainWaiter) erase() {
	if w.lines > 0 {
		_, _ = io.WriteString(w.Out, "\x1b["+strconv.Itoa(w.lines)+"A\x1b[J")
		w.lines = 0
	}
}

// verdict returns the error for VMMs that have not ended as a drain ends them.
func (w *drainWaiter) verdict() error {
	failed := 0
	for _, s := range w.vmms {
		if s.Record.VMM.State != vmm.WireDestroyed {
			failed++
		}
	}
	if failed > 0 {
		return fail(exitOtherEnd, "%d of %d VMMs ended failed, not destroyed", failed, len(w.vmms))
	}
	return nil
}

func (w *drainWaiter) gaveUp(ctx context.Context) error {
	err, left := context.Cause(ctx), 0
	for _, s := range w.vmms {
		if !view.Drained(s) {
			left++
		}
	}
	if errors.Is(err, context.Canceled) {
		w.say("the drain goes on; %d VMMs are left\n", left)
		return err
	}
	return fail(exitCode(err), "%w; %d VMMs are left, and the drain goes on", err, left)
}
