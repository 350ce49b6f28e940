package watchdog

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Of nice values: as setpriority(2) takes it, and as getpriority(2) returns none.
const (
	nicest  = -20
	niceOff = 20
)

// prefer gives the goroutine a thread of its own that the kernel prefers to others, until
// the returned function is called. Without the right to raise priorities (CAP_SYS_NICE) the
// thread keeps its own.
func prefer() (end func()) {
	runtime.LockOSThread()
	thread := unix.Gettid()
	// The system call itself returns 20 - nice, so that no value is an error.
	was, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err == nil {
		err = unix.Setpriority(unix.PRIO_PROCESS, thread, nicest)
	}
	return func() {
		if err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, thread, niceOff-was)
		}
		runtime.UnlockOSThread()
	}
}
