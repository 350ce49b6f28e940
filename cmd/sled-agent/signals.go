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
// Go runtime needs, and those without an effect. SIGHUP, SIGTTOU and SIGTTIN are handled
// elsewhere.
var untouched = []syscall.Signal{
	syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV,
	syscall.SIGSYS, syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGPROF, syscall.SIGURG, syscall.SIGCHLD, syscall.SIGCONT,
	syscall.SIGWINCH, syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP,
}

// highestSignal is the highest signal number of any system.
const highestSignal = 64

// signalPause is the time between two log lines about ignored signals.
const signalPause = time.Second

// untilEnded returns a context that ends with the first signal that asks for an exit.
func untilEnded() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), ending...)
}

// reloads returns a channel for SIGHUP, which also comes when a terminal closes. One that is
// pending stands for all.
func reloads() <-chan os.Signal {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	return caught
}

// survive catches every other signal that would end or stop the process: SIGPIPE when
// the reader of the log exits, SIGXFSZ when a file reaches its limit, and rarer ones. They are caught, not ignored, because children
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
				log.Warn().Stringer("signal", s).Msg("signal ignored; SIGHUP reloads the configuration")
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
