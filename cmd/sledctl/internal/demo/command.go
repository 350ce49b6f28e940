package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Command returns `sledctl demo`. It fails if a promise was broken.
func Command() *cobra.Command {
	grace, name := 3*time.Second, backends()[0].name
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See that every VM that is told to stop ends, whatever it does",
		Long: `Starts a simulated Nexus and a sled-agent on this machine, runs five VMMs with
simulated guests, stops them, and shows and checks what becomes of each. Most of
them do not stop as they should. Needs neither root nor a network, takes less
than 15 seconds and leaves nothing behind.

With --backend illumos the agent does to zones of illumos what it does there;
zoneadm, zonecfg, dladm and the others are those of illumos-standin, on any
system. "make demo BACKEND=illumos" builds it and runs this.

The exit status is 0 only if every promise was kept.`,
		Example: "  sledctl demo\n  sledctl demo --backend illumos --grace 1s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 || grace > maxGrace {
				return fmt.Errorf("--grace %v: want at most %v", grace, maxGrace)
			}
			on, err := backendNamed(name)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run(ctx, cmd.OutOrStdout(), on, grace)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", grace, "how long each VMM may take to stop")
	cmd.Flags().StringVar(&name, "backend", name, "the agent's `kind` of zones: "+strings.Join(backendNames(), " or "))
	complete := cobra.FixedCompletions(backendNames(), cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("backend", complete) // It fails for no flag that there is.
	return cmd
}

// maxGrace bounds the patience that a demonstration asks for.
const maxGrace = time.Minute

// errBroken is the verdict when a promise was not kept.
var errBroken = errors.New("a promise was broken")

func run(ctx context.Context, out io.Writer, on backend, grace time.Duration) (err error) {
	programs, err := findPrograms(on.build, on.needs()...)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, intro(on, grace))
	b := newBoard(cast())
	setting, cancel := context.WithTimeout(ctx, setBudget)
	defer cancel()
	s, err := setUp(setting, b, on, programs, grace)
	defer func() { err = errors.Join(err, s.strike()) }()
	if err == nil {
		err = s.perform(ctx, screenFor(out), grace)
	}
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	all := b.look()
	fmt.Fprint(out, report(all, on, grace))
	for _, f := range all {
		if len(f.judge(grace)) > 0 {
			return errBroken
		}
	}
	return nil
}

// perform plays and shows it meanwhile.
func (s *stage) perform(ctx context.Context, on screen, grace time.Duration) error {
	aside, done := context.WithCancel(ctx)
	followed, shown := make(chan error, 1), make(chan struct{})
	go func() { followed <- s.follow(aside) }()
	go func() {
		defer close(shown)
		keepShowing(aside, s.board, on)
	}()
	err := s.play(ctx, grace)
	done()
	<-shown
	on.clear()
	return errors.Join(err, <-followed)
}
