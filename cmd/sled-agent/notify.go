package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

const (
	// notifyBudget bounds the time to send one message; systemd's socket may be full.
	notifyBudget = 500 * time.Millisecond
	// notifyRetry is the time between two attempts to send a message.
	notifyRetry = time.Second
	// notifyQueue is how many messages are queued. Further ones are dropped: systemd
	// needs none of them if it has not read for that long.
	notifyQueue = 16
	// beat reports that the agent is alive. It is not retried, since the next one follows.
	beat = "WATCHDOG=1"
)

// A notifier reports the agent's state to systemd (sd_notify(3)) in its own
// goroutine, so that callers do not block.
type notifier struct {
	socket string // empty if systemd expects no messages
	log    zerolog.Logger
	queue  chan string
}

func newNotifier(ctx context.Context, log zerolog.Logger) *notifier {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET"), log: log, queue: make(chan string, notifyQueue)}
	if n.socket != "" {
		go n.run(ctx)
	}
	return n
}

// say queues a message.
func (n *notifier) say(state string) {
	if n.socket == "" {
		return
	}
	select {
	case n.queue <- state:
	default:
	}
}

func (n *notifier) run(ctx context.Context) {
	for {
		select {
		case state := <-n.queue:
			n.deliver(ctx, state)
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends a message and, unless it is a beat, retries until it succeeds.
func (n *notifier) deliver(ctx context.Context, state string) {
	for failures := 0; ctx.Err() == nil; failures++ {
		err := n.send(state, notifyBudget)
		switch {
		case err == nil && failures > 0:
			n.log.Info().Str("state", state).Msg("service manager notified again")
			return
		case err == nil:
			return
		case failures == 0:
			n.log.Warn().Err(err).Msg("failed to notify the service manager")
		}
		if state == beat {
			return
		}
		select {
		case <-time.After(notifyRetry):
		case <-ctx.Done():
		}
	}
}

// send sends one message. A name that begins with @ is an abstract socket.
func (n *notifier) send(state string, budget time.Duration) error {
	what, _, _ := strings.Cut(state, "=")
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd of %s: %w", what, err)
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(budget)) // a socket has deadlines
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd of %s: %w", what, err)
	}
	return nil
}

// reloading reports that the configuration is being reloaded, as systemd wants it
// (Type=notify-reload). READY=1 ends that.
func (n *notifier) reloading() {
	if usec, ok := monotonic(); ok {
		n.say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", usec))
	}
}

// stopping reports immediately that the agent exits.
func (n *notifier) stopping() {
	if n.socket != "" {
		_ = n.send("STOPPING=1", notifyBudget/5) // systemd notices the exit without it
	}
}

// watchdogPeriod is how often systemd expects a beat: half of the time after which it
// would restart the agent (sd_watchdog_enabled(3)).
func watchdogPeriod() (time.Duration, bool) {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, false
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0, false
	}
	return time.Duration(usec) * time.Microsecond / 2, true
}
