package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var errStat = errors.New("want pid (comm) state ppid ... starttime")

// Fields of /proc/<pid>/stat after the comm, counted from the state, which
// proc_pid_stat(5) numbers 3.
const (
	statState   = 0
	statPPID    = 4 - 3
	statSession = 6 - 3
	statStart   = 22 - 3
)

// ParseStat reads a /proc/<pid>/stat as Linux writes it. The comm is whatever
// the process called itself, spaces, parentheses and line ends included, so it
// ends at the last closing parenthesis.
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
	}{{&info.PID, head}, {&info.PPID, fields[statPPID]}, {&info.Session, fields[statSession]}} {
		if *f.to, err = strconv.Atoi(string(f.text)); err != nil {
			return Info{}, fmt.Errorf("read process stat: %w", err)
		}
	}
	if info.PID <= 0 {
		return Info{}, errStat
	}
	if info.Start, err = strconv.ParseUint(string(fields[statStart]), 10, 64); err != nil {
		return Info{}, fmt.Errorf("read process stat: %w", err)
	}
	return info, nil
}
