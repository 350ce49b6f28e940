package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// ending are the signals that ask the agent to exit.
var ending = []os.Signal{syscall.SIGTERM, syscall.SIGINT}

// untouched are the signals that keep their default effect: those that print the
// goroutines of a Go program and end it (SIGQUIT, SIGABRT and faults), those that the
// Go runtime needs, and those without an effect. SIGTTOU and SIGTTIN are ignored
// elsewhere.
var untouched = []syscall.Signal{
	syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV,
	syscall.SIGSYS, syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGPROF, syscall.SIGURG, syscall.SIGCHLD, syscall.SIGCONT,
	syscall.SIGWINCH, syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTERM, syscall.SIGINT,
}

// highestSignal is the highest signal number of any system.
const highestSignal = 64

// signalPause is the time between two log lines about ignored signals.
const signalPause = time.Second

// untilEnded returns a context that ends with the first signal that asks for an exit.
func untilEnded() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), ending...)
}

// survive catches every other signal that would end or stop the process: SIGPIPE when
// the reader of the log exits, SIGHUP when a terminal closes, SIGXFSZ when a file
// reaches its limit, and rarer ones. They are caught, not ignored, because children
// would inherit ignored signals.
func survive() <-chan os.Signal {
	caught := make(chan os.Signal, 16)
	for n := syscall.Signal(1); n <= highestSignal; n++ {
		if !slices.Contains(untouched, n) {
			signal.Notify(caught, n)
		}
	}
	// A terminal repeats these until they are ignored, and then lets a background
	// process write (termios(3), TOSTOP).
	signal.Ignore(syscall.SIGTTOU, syscall.SIGTTIN)
	return caught
}

// logSignals logs the signals that the agent survives, at most one per signalPause.
// Signals that find the channel full are not logged.
func logSignals(ctx context.Context, caught <-chan os.Signal, log zerolog.Logger) {
	for {
		select {
		case s := <-caught:
			if s != syscall.SIGPIPE { // lost lines are reported by the log itself
				log.Warn().Stringer("signal", s).
					Msg("signal ignored; nothing is reloaded, restart the agent to apply a changed configuration")
			}
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(signalPause):
		case <-ctx.Done():
			return
		}
	}
}
