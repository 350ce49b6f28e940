package watchdog

import (
	"slices"

	"golang.org/x/sys/unix"
)

// nicest is the highest priority of an ordinary thread, for setpriority(2).
const nicest = -20

// A preference makes the kernel prefer the thread of the goroutine that uses it to others: as
// a real-time thread (sched(7)), or where that is not allowed, by systemd's RestrictRealtime=
// for example, by its nice value, which counts only among the threads of the same control
// group or session. Without the right to either (CAP_SYS_NICE) nothing changes.
//
// The goroutine is not locked to its thread: a locked one that the runtime interrupts has to
// wait for another thread, without a preference, to hand it on. It may change threads, and
// each gets the preference. A nil one does nothing.
type preference struct {
	threads []int
	was     []*unix.SchedAttr // by thread
}

// maxPreferred bounds the threads that one pass prefers.
const maxPreferred = 8

// here prefers the present thread.
func (p *preference) here() {
	if p == nil {
		return
	}
	thread := unix.Gettid()
	if slices.Contains(p.threads, thread) || len(p.threads) == maxPreferred {
		return
	}
	was, err := unix.SchedGetAttr(thread, 0)
	if err != nil || was.Policy != unix.SCHED_NORMAL {
		return // or another pass prefers it
	}
	if raise(thread, was.Flags) == nil {
		p.threads, p.was = append(p.threads, thread), append(p.was, was)
	}
}

func raise(thread int, flags uint64) error {
	real := unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1, Flags: flags | unix.SCHED_FLAG_RESET_ON_FORK}
	if unix.SchedSetAttr(thread, &real, 0) == nil {
		return nil
	}
	return unix.Setpriority(unix.PRIO_PROCESS, thread, nicest)
}

// end gives all threads back what they had.
func (p *preference) end() {
	for i, thread := range p.threads {
		// Where real-time threads are not allowed, this call may not be either.
		if unix.SchedSetAttr(thread, p.was[i], 0) != nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, thread, int(p.was[i].Nice)) // it may have ended
		}
	}
	p.threads, p.was = p.threads[:0], p.was[:0]
}
