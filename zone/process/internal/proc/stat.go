package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"
)

var errStat = errors.New("malformed process stat, want pid (comm) state ppid ... starttime")

// Fields of /proc/<pid>/stat after the comm, counted from the state, which
// proc_pid_stat(5) numbers 3.
const (
	statState   = 0
	statPPID    = 4 - 3
	statSession = 6 - 3
	statFlags   = 9 - 3
	statUtime   = 14 - 3 // then stime, cutime and cstime
	statCstime  = 17 - 3
	statThreads = 20 - 3
	statStart   = 22 - 3
	statRSS     = 24 - 3 // in pages
)

// tick is the unit of CPU time in /proc: USER_HZ is 100 on every architecture
// that Go supports. maxTicks is a quarter of what a Duration can hold, since four
// counts are added.
const (
	tick     = time.Second / 100
	maxTicks = math.MaxInt64 / uint64(tick) / 4
)

// PF_EXITING and PF_KTHREAD of the kernel's <linux/sched.h>.
const (
	flagExiting = 0x00000004
	flagKernel  = 0x00200000
)

// ParseStat parses a /proc/<pid>/stat of Linux. The process chooses its comm, which
// may contain spaces, parentheses and line ends, so it ends at the last closing
// parenthesis.
func ParseStat(data []byte) (Info, error) {
	head, rest, ok := bytes.Cut(data, []byte(" ("))
	if !ok {
		return Info{}, errStat
	}
	end := bytes.LastIndexByte(rest, ')')
	if end < 0 {
		return Info{}, errStat
	}
	fields := bytes.Fields(rest[end+1:])
	if len(fields) <= statStart || len(fields[statState]) != 1 {
		return Info{}, errStat
	}
	info := Info{Comm: string(rest[:end]), State: fields[statState][0]}
	var err error
	for _, f := range []struct {
		to   *int
		text []byte
	}{{&info.PID, head}, {&info.PPID, fields[statPPID]}, {&info.Session, fields[statSession]}, {&info.Threads, fields[statThreads]}} {
		if *f.to, err = strconv.Atoi(string(f.text)); err != nil {
			return Info{}, fmt.Errorf("read process stat: %w", err)
		}
	}
	if info.PID <= 0 {
		return Info{}, errStat
	}
	flags, err := strconv.ParseUint(string(fields[statFlags]), 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("read process stat: %w", err)
	}
	info.Exiting = flags&flagExiting != 0
	info.Kernel = flags&flagKernel != 0
	if info.Start, err = strconv.ParseUint(string(fields[statStart]), 10, 64); err != nil {
		return Info{}, fmt.Errorf("read process stat: %w", err)
	}
	info.CPU, info.Resident = usage(fields)
	return info, nil
}

// usage returns a process's CPU time and memory. Fields that cannot be parsed count as
// 0 and not as an error, since the existence of the process does not depend on them.
func usage(fields [][]byte) (cpu time.Duration, resident uint64) {
	for _, f := range fields[statUtime : statCstime+1] {
		if ticks, err := strconv.ParseUint(string(f), 10, 64); err == nil {
			cpu += time.Duration(min(ticks, maxTicks)) * tick
		}
	}
	if len(fields) > statRSS {
		if pages, err := strconv.ParseUint(string(fields[statRSS]), 10, 64); err == nil {
			resident = pages * uint64(os.Getpagesize())
		}
	}
	return cpu, resident
}
