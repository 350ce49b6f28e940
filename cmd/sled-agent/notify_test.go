package main

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// The period is half of systemd's watchdog time, if the watchdog is for this process.
func TestWatchdogPeriod(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"2000000", "", time.Second},
		{"2000000", strconv.Itoa(os.Getpid()), time.Second},
		{"2000000", "1", 0},
		{"", "", 0},
		{"0", "", 0},
		{"-1", "", 0},
		{"soon", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		if got, ok := watchdogPeriod(); got != tt.want || ok != (tt.want != 0) {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v, %v, want %v", tt.usec, tt.pid, got, ok, tt.want)
		}
	}
}
