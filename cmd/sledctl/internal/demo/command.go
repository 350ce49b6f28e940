package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Command returns `sledctl demo`. It fails if a promise was broken.
func Command() *cobra.Command {
	grace := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See that every VM that is told to stop ends, whatever it does",
		Long: `Starts a simulated Nexus and a sled-agent on this machine, runs five VMMs with
simulated guests, stops them, and shows and checks what becomes of each. Most of
them do not stop as they should. Needs neither root nor a network, takes less
than 15 seconds and leaves nothing behind.

The exit status is 0 only if every promise was kept.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 || grace > maxGrace {
				return fmt.Errorf("--grace %v: want at most %v", grace, maxGrace)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run(ctx, cmd.OutOrStdout(), grace)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", grace, "how long each VMM may take to stop")
	return cmd
}

// maxGrace bounds the patience that a demonstration asks for.
const maxGrace = time.Minute

// errBroken is the verdict when a promise was not kept.
var errBroken = errors.New("a promise was broken")

func run(ctx context.Context, out io.Writer, grace time.Duration) (err error) {
	programs, err := findPrograms("nexus-sim", "sled-agent", "propolis-sim")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, intro(grace))
	b := newBoard(cast())
	s, err := setUp(ctx, b, programs, grace)
	defer func() { err = errors.Join(err, s.strike()) }()
	if err != nil {
		return err
	}
	if err := s.perform(ctx, screenFor(out), grace); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	all := b.look()
	fmt.Fprint(out, report(all, grace))
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
