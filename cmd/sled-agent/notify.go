package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells systemd how the agent is (sd_notify(3)). Without a NOTIFY_SOCKET
// there is nobody to tell. A name that begins with @ is an abstract socket.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd of %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd of %s: %w", state, err)
	}
	return nil
}

// watchdogPeriod is how often systemd wants to hear that the agent is well: half
// of the time after which it would restart it (sd_watchdog_enabled(3)).
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
