package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/report"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// reportTimeout is longer than all budgets of a report together.
const reportTimeout = 5 * time.Minute

func (a *app) reportCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "report [ID]",
		Short: "Gather what a report of a bug needs into one file",
		Long: `Write one .tar.gz with what a report of a bug needs: what the agent says of itself
and of its VMMs (with an id, of that one), their events, metrics, the configuration,
goroutines, the names of zone bundles, the end of the agent's log, and facts about the
host. Its README.txt says what is in it, and what is missing: of an agent that answers
half or not at all, the rest is gathered. Sizes and times are bounded.

Secrets are left out of the configuration, and what looks like one is masked in logs.
Ids, names and addresses of VMMs are in it. The log may be readable by root only.`,
		Example: `  sledctl report
  sledctl report 81bc22de --file /tmp/web-1.tar.gz
  sledctl report --file - | ssh archive 'cat >report.tar.gz'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.within(cmd.Context(), reportTimeout, func(ctx context.Context) error {
				r := &report.Report{}
				id, err := a.reported(ctx, r, args)
				if err != nil {
					return err
				}
				return a.report(ctx, r, id, file)
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the `FILE` to write, which must not exist; - is standard output (default: sled-report-TIME.tar.gz)")
	_ = cmd.MarkFlagFilename("file", "tar.gz")
	return cmd
}

// written is the output of a report as JSON.
type written struct {
	File  string        `json:"file"`
	Parts []report.Part `json:"parts"`
}

// findBudget is how long an agent that hangs is asked which VMM is meant.
const findBudget = 5 * time.Second

// reported returns the id of the VMM that is meant; uuid.Nil for all. It is the whole report's if
// the agent does not tell.
func (a *app) reported(ctx context.Context, r *report.Report, args []string) (uuid.UUID, error) {
	if len(args) == 0 {
		return uuid.Nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, findBudget)
	defer cancel()
	id, err := a.find(ctx, args[0])
	own, isOwn := errors.AsType[*exitError](err)
	switch {
	case err == nil:
		return id, nil
	case isOwn && own.code != exitTimedOut, exitCode(err) == exitNotFound:
		return uuid.Nil, err // the agent has answered
	}
	r.Miss("vmms/"+args[0], err)
	return uuid.Nil, nil
}

func (a *app) report(ctx context.Context, r *report.Report, id uuid.UUID, file string) error {
	made := a.Now().UTC().Truncate(time.Second)
	name := "sled-report-" + made.Format("20060102T150405Z")
	if file == "" {
		file = name + ".tar.gz"
	}
	r.AddAgent(ctx, a.admin, id)
	stateDir := r.StateDir(filepath.Dir(a.socket))
	r.AddEvidence(ctx, stateDir, id)
	r.AddHost(ctx, report.This(), stateDir)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if file == "-" {
		return r.Write(a.Out, name, made)
	}
	if err := create(file, func(w io.Writer) error { return r.Write(w, name, made) }); err != nil {
		return err
	}
	return a.paged(func() error {
		return a.print(written{file, r.Parts}, func(view.View) string { return reportText(file, r) })
	})
}

// create makes a file that only this user can read. It leaves none behind after an error.
func create(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(file)
	}
	return err
}

func reportText(file string, r *report.Report) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: look through it before you pass it on\n", file)
	if missing := r.Missing(); len(missing) > 0 {
		fmt.Fprintf(&out, "%d of %d parts are missing or not whole:\n", len(missing), len(r.Parts))
		for _, p := range missing {
			fmt.Fprintf(&out, "  %s: %s\n", p.Name, strings.ReplaceAll(p.Missing, "\n", "; "))
		}
	}
	return out.String()
}
