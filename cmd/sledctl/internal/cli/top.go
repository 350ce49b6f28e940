package cli

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/top"
)

// topBudget bounds one look at the agent: one that hangs is shown as away.
const topBudget = 5 * time.Second

func (a *app) topCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "top",
		Short: "Watch the VMMs, and stop or kill one, on a live screen",
		Long: `Show the agent, Nexus and all VMMs on one screen, anew every second: those in trouble
first, then those whose deadline is next, with a bar for the time that each has left.
A VMM is selected and shown, stopped or killed with a key; a stop and a kill ask first.
An agent that is away is waited for.

` + top.Keys + `

It needs a terminal; scripts use "sledctl vmm list --watch".`,
		Example: `  sledctl top
  ssh -t sled7 sledctl top`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.output.format != formatTable:
				return fail(exitUsage, "-o %s: top draws a screen; for programs there is sledctl vmm list --watch", a.output.format)
			case !a.IsTerminal:
				return fail(exitUsage, "top needs a terminal, and standard output is none; use sledctl vmm list --watch")
			case a.Getenv("TERM") == "dumb":
				return fail(exitUsage, "top needs a terminal whose cursor can be moved, and TERM is dumb; use sledctl vmm list --watch")
			case a.Raw == nil:
				return fail(exitUsage, "top needs a terminal, and standard input is none; use sledctl vmm list --watch")
			}
			return a.within(cmd.Context(), 0, a.top)
		},
	}
}

// top shows the screen until the user leaves it. Without an agent there is nothing to begin with.
func (a *app) top(ctx context.Context) error {
	seen, err := a.lookForTop(ctx)
	if err != nil {
		return err
	}
	out := a.Out
	if c, ok := out.(*checked); ok {
		out = c.w // bubbletea asks the terminal for its size
	}
	stopVMM, err := a.beginStop(&stop{})
	if err != nil {
		return err
	}
	program := tea.NewProgram(screen{top.New(a.view(), seen), a, ctx, stopVMM},
		tea.WithContext(ctx), tea.WithInput(a.In), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithWindowSize(a.Width, a.Height))
	_, err = program.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lookForTop asks the agent for all that the screen shows.
func (a *app) lookForTop(ctx context.Context) (top.Seen, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, topBudget, fail(exitTimedOut, "the agent gave no answer within %s", topBudget))
	defer cancel()
	seen := top.Seen{}
	var err error
	if seen.Summary, err = a.summaryOf(ctx, func(all []vmm.Status) { seen.All = all }); err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	seen.Now = a.Now()
	return seen, err
}

// A screen runs the model: it does what the model wants to be done, and tells it what came of it.
type screen struct {
	model top.Model
	app   *app
	ctx   context.Context
	stop  action
}

func (s screen) Init() tea.Cmd { return s.tick() }

func (s screen) tick() tea.Cmd {
	return tea.Tick(s.app.Redraw, func(time.Time) tea.Msg { return top.Tick{Now: s.app.Now()} })
}

func (s screen) View() tea.View {
	v := tea.NewView(strings.Join(s.model.Lines(), "\n"))
	v.AltScreen = true
	return v
}

func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmds []tea.Cmd
	switch m := msg.(type) {
	case tea.KeyPressMsg:
		msg = top.Key{Name: m.String(), Text: m.Text}
	case tea.WindowSizeMsg:
		msg = top.Size{Width: m.Width, Height: m.Height}
	case top.Tick:
		cmds = append(cmds, s.tick())
	}
	model, effects := top.Step(s.model, msg)
	s.model = model
	for _, e := range effects {
		cmds = append(cmds, s.do(e))
	}
	return s, tea.Batch(cmds...)
}

// do returns what carries out an effect.
func (s screen) do(e top.Effect) tea.Cmd {
	a := s.app
	switch e := e.(type) {
	case top.Look:
		return func() tea.Msg {
			seen, err := a.lookForTop(s.ctx)
			if err != nil {
				return top.Missed{Now: a.Now(), Why: explain(err)}
			}
			return seen
		}
	case top.Show:
		return func() tea.Msg { return a.showForTop(s.ctx, e.ID) }
	case top.Act:
		return func() tea.Msg { return s.act(e) }
	case top.Suspend:
		return tea.Suspend
	}
	return tea.Quit
}

func (a *app) showForTop(ctx context.Context, id uuid.UUID) top.Shown {
	ctx, cancel := context.WithTimeout(ctx, topBudget)
	defer cancel()
	status, err := a.admin.Show(ctx, id)
	if err != nil {
		return top.Shown{ID: id, Err: explain(err)}
	}
	return top.Shown{ID: id, Status: status}
}

func (s screen) act(e top.Act) top.Done {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	act := s.stop
	if e.Action == top.Kill {
		act = s.app.kill
	}
	o := act(ctx, target{e.VMM.ID, e.VMM.Hostname})
	if o.err != nil {
		return top.Done{Err: explain(o.err)}
	}
	return top.Done{Text: strings.Join(o.lines, "; ")}
}
