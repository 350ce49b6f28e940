package bootclock

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
	_ "unsafe" // for linkname
)

// nanotime is the runtime's monotonic clock. On illumos it is gethrtime(3C),
// which counts from boot.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

func sinceBoot() time.Duration { return time.Duration(nanotime()) }

// bootID is the kernel's boot time, taken from the wall clock once at boot; a
// later step of that clock does not change it (kstat unix:0:system_misc).
func bootID() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/kstat", "-p", "unix:0:system_misc:boot_time").Output()
	if err != nil {
		return "", fmt.Errorf("read the boot time: %w", err)
	}
	_, value, ok := strings.Cut(strings.TrimSpace(string(out)), "\t")
	if !ok {
		return "", fmt.Errorf("read the boot time: kstat printed %q", out)
	}
	return strings.TrimSpace(value), nil
}
