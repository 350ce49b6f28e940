package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// maxConcurrent bounds the requests of one command that are under way at the same time. An
// unregister waits for its VMM, so one after the other would take too long.
const maxConcurrent = 8

const targetsHelp = `Several VMMs may be given. --all means all on this sled that have not ended, and
--selector those of them that match: FIELD=PATTERN or FIELD!=PATTERN, a comma means
and. FIELD is state, phase, hostname, id or instance; * and ? in PATTERN are
wildcards. All are looked up before anything is changed. The exit code is 0 only if
all succeeded. With several VMMs, --all or --selector, -o json prints an array.`

const namedHelp = `Several VMMs may be given. All are looked up before anything is changed. The exit
code is 0 only if all succeeded. With several VMMs, -o json prints an array.`

// A target is a VMM to act on.
type target struct {
	ID uuid.UUID `json:"id"`
	// Hostname is empty if the VMM was not looked up.
	Hostname string `json:"hostname,omitempty"`
}

func (t target) String() string {
	if t.Hostname == "" {
		return t.ID.String()
	}
	return fmt.Sprintf("%s (%s)", t.ID, t.Hostname)
}

// targetFlags choose targets without naming them.
type targetFlags struct {
	all      bool
	selector selector
}

func (f *targetFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.all, "all", false, "all VMMs on this sled that have not ended")
	f.selector.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("all", "selector")
}

// one reports whether a single VMM is named.
func (f *targetFlags) one(args []string) bool { return len(args) == 1 && !f.set() }

func (f *targetFlags) set() bool { return f.all || f.selector != nil }

func (f *targetFlags) check(args []string) error {
	switch {
	case f.set() && len(args) > 0:
		return fail(exitUsage, "want either IDs, or --all or --selector")
	case !f.set() && len(args) == 0:
		return fail(exitUsage, "which VMM? want its ID or hostname, --all or --selector")
	}
	return nil
}

// targets finds the VMMs that a command acts on. If any cannot be found, it returns an error.
func (a *app) targets(ctx context.Context, args []string, f targetFlags, find func(context.Context, string) (uuid.UUID, error)) ([]target, error) {
	if err := f.check(args); err != nil {
		return nil, err
	}
	if f.one(args) {
		if find == nil {
			find = a.resolve
		}
		id, err := find(ctx, args[0])
		return []target{{ID: id}}, err
	}
	all, err := a.admin.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("find VMMs: %w", err)
	}
	if f.set() {
		return f.choose(all), nil
	}
	return named(args, func(name string) (target, error) {
		if find != nil {
			id, err := find(ctx, name)
			return target{ID: id}, err
		}
		s, err := a.pick(ctx, name, all)
		return target{s.ID, s.Hostname}, err
	})
}

// choose returns the VMMs that the flags mean. Those that have ended are left out: nothing
// can be done to them.
func (f *targetFlags) choose(all []vmm.Status) (chosen []target) {
	for _, s := range all {
		if !s.Record.VMM.State.Terminal() && f.selector.matches(s) {
			chosen = append(chosen, target{s.ID, s.Hostname})
		}
	}
	return chosen
}

// named returns the VMMs with these names, each once.
func named(names []string, find func(string) (target, error)) (found []target, err error) {
	seen := map[uuid.UUID]bool{}
	var problems []string
	code := exitNotFound
	for _, name := range names {
		t, err := find(name)
		switch {
		case err != nil:
			problems, code = append(problems, err.Error()), exitCode(err)
		case !seen[t.ID]:
			seen[t.ID] = true
			found = append(found, t)
		}
	}
	if len(problems) > 0 {
		return nil, fail(code, "nothing was changed: %s", strings.Join(problems, "\n"))
	}
	return found, nil
}

// An outcome is what a command did to one VMM.
type outcome struct {
	target
	answer any // for formats such as JSON
	// lines are the text for people.
	lines []string
	err   error
}

// An action does something to one VMM. It is called concurrently.
type action func(context.Context, target) outcome

// A bulk is what a command does to one or more VMMs.
type bulk struct {
	// named commands have no --all and no --selector.
	named bool
	// limit is the time limit without --timeout; nil is requestTimeout.
	limit func() time.Duration
	// find resolves a name; nil finds VMMs on this sled only.
	find func(context.Context, string) (uuid.UUID, error)
	// begin is called once all VMMs are found.
	begin func() (action, error)
	// then, which may be nil, is called for each VMM on which the action succeeded, one
	// after the other. one is set if a single VMM was named.
	then func(ctx context.Context, o outcome, one bool) outcome
}

// onVMMs makes a command on one or more VMMs.
func (a *app) onVMMs(cmd *cobra.Command, b bulk) *cobra.Command {
	var flags targetFlags
	if b.named {
		cmd.Args = cobra.MinimumNArgs(1)
		cmd.Long += "\n\n" + namedHelp
	} else {
		flags.add(cmd)
		cmd.Long += "\n\n" + targetsHelp
	}
	cmd.ValidArgsFunction = a.completeIDs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		limit := requestTimeout
		if b.limit != nil {
			limit = b.limit()
		}
		return a.within(cmd.Context(), limit, func(ctx context.Context) error {
			targets, err := a.targets(ctx, args, flags, b.find)
			if err != nil {
				return err
			}
			if len(targets) == 0 {
				a.say("no VMM matches\n")
				return a.printOutcomes(ctx, nil, false)
			}
			act, err := b.begin()
			if err != nil {
				return err
			}
			all := actOn(ctx, targets, act)
			for i, o := range all {
				if b.then != nil && o.err == nil {
					all[i] = b.then(ctx, o, flags.one(args))
				}
			}
			return a.printOutcomes(ctx, all, flags.one(args))
		})
	}
	return cmd
}

// actOn calls act for all targets, several at the same time.
func actOn(ctx context.Context, targets []target, act action) []outcome {
	all := make([]outcome, len(targets))
	var g errgroup.Group
	g.SetLimit(maxConcurrent)
	for i, t := range targets {
		g.Go(func() error {
			all[i] = act(ctx, t)
			all[i].target = t
			return nil
		})
	}
	_ = g.Wait() // errors are in the outcomes
	return all
}

// printOutcomes prints what was done. The error is that of the VMMs for which it failed.
func (a *app) printOutcomes(ctx context.Context, all []outcome, one bool) error {
	if one {
		o := all[0]
		if o.err != nil && o.answer == nil {
			return o.err
		}
		return errors.Join(a.print(o.answer, func(view.View) string { return join(o.lines, "\n") }), o.err)
	}
	results, text, failed, code := make(vmmResults, len(all)), "", 0, exitDone
	for i, o := range all {
		results[i] = vmmResult{target: o.target, Result: o.answer}
		if o.err == nil {
			text += join(o.lines, "; ")
			continue
		}
		if ctx.Err() != nil {
			o.err = context.Cause(ctx)
		}
		results[i].Error = explain(o.err)
		a.say("sledctl: VMM %s: %s\n", o.target, results[i].Error)
		if c := exitCode(o.err); failed == 0 {
			code = c
		} else if c != code {
			code = exitOther
		}
		failed++
	}
	err := a.print(results, func(view.View) string { return text })
	if failed > 0 {
		err = errors.Join(err, fail(code, "%d of %s failed", failed, countVMMs(len(all))))
	}
	return err
}

// vmmResults are what a command did to several VMMs, for formats such as JSON.
type vmmResults []vmmResult

type vmmResult struct {
	target
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// names returns the ids of the VMMs for which it succeeded.
func (all vmmResults) names() (names []string) {
	for _, r := range all {
		if r.Error == "" {
			names = append(names, r.ID.String())
		}
	}
	return names
}

// changed is the record of a VMM, which as JSON does not have its id.
type changed struct {
	id     uuid.UUID
	record *vmm.Record
}

func (c changed) MarshalJSON() ([]byte, error) { return json.Marshal(c.record) }

func (c changed) names() []string { return []string{c.id.String()} }

func join(lines []string, with string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, with) + "\n"
}

func countVMMs(n int) string {
	if n == 1 {
		return "1 VMM"
	}
	return fmt.Sprintf("%d VMMs", n)
}
