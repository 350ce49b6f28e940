package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

const (
	// enterScreen changes to the terminal's alternate screen and hides the cursor;
	// leaveScreen undoes both, and the screen is as it was before.
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	// A frame begins at the top left. Lines and then the rest are erased as it is drawn, and
	// not before, so that it does not flicker.
	frameBegin, lineEnd, frameEnd = "\x1b[H", "\x1b[K", "\x1b[J"
)

// A look asks the agent for what a command shows.
type look func(context.Context) (answer any, text func(view.View) string, err error)

// watchFlag is --watch.
type watchFlag bool

func (f *watchFlag) add(cmd *cobra.Command) {
	cmd.Flags().BoolVarP((*bool)(f), "watch", "w", false, "show it anew every second until interrupted")
}

// show prints what a look finds, with --watch again and again.
func (a *app) show(ctx context.Context, watch watchFlag, see look) error {
	if watch {
		return a.within(ctx, 0, func(ctx context.Context) error { return a.watch(ctx, see) })
	}
	return a.within(ctx, requestTimeout, func(ctx context.Context) error {
		answer, text, err := see(ctx)
		if err != nil {
			return err
		}
		return a.print(answer, text)
	})
}

// answers returns the code of a command that asks the agent once and shows the answer.
func answers[T any](a *app, ask func(*admin.Client, context.Context) (T, error), text func(view.View, T) string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		return a.show(cmd.Context(), false, func(ctx context.Context) (any, func(view.View) string, error) {
			answer, err := ask(a.admin, ctx)
			return answer, func(v view.View) string { return text(v, answer) }, err
		})
	}
}

// watch shows what a look finds once a second. Once it has found something, a restart of the
// agent does not end it.
func (a *app) watch(ctx context.Context, see look) error {
	ticks := time.NewTicker(a.Redraw)
	defer ticks.Stop()
	screen := a.IsTerminal && a.output.people()
	for seen := false; ; {
		answer, text, err := see(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !(seen && transient(err)):
			return err
		case err == nil && !seen && screen:
			if _, err := io.WriteString(a.Out, enterScreen); err != nil {
				return err
			}
			defer func() { _, _ = io.WriteString(a.Out, leaveScreen) }()
		}
		seen = true
		if screen {
			err = a.drawFrame(text, err)
		} else if err != nil {
			a.say("%s %s\n", a.view().Clock(a.Now()), explain(err))
			err = nil
		} else {
			err = a.printItem(answer, func(v view.View) string { return text(v) + "\n" })
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
		}
	}
}

// drawFrame draws one screen: a line with the time, then the text as far as it fits, or what
// kept the agent from being asked.
func (a *app) drawFrame(text func(view.View) string, failed error) error {
	if a.Size != nil {
		a.Width, a.Height = a.Size()
	}
	v := a.view()
	v.Height = max(a.Height-1, 0)
	body := ""
	if failed != nil {
		body = explain(failed)
	} else {
		body = text(v)
	}
	lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
	if room := a.Height - 2; a.Height > 0 && len(lines) > room && room > 0 {
		lines = append(lines[:room-1], fmt.Sprintf("and %d more lines", len(lines)-room+1))
	}
	var frame bytes.Buffer
	frame.WriteString(frameBegin + v.Clock(a.Now()) + ", every " + a.Redraw.String() + "; Ctrl-C ends" + lineEnd)
	for _, line := range lines {
		frame.WriteString("\r\n" + line + lineEnd)
	}
	frame.WriteString(frameEnd)
	_, err := a.Out.Write(frame.Bytes())
	return err
}
