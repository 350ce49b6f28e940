package procstat

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/kstat"
)

// ErrUnsupported: only Linux has the /proc that this package reads.
var ErrUnsupported = errors.New("process statistics are read on Linux only")

// A Source samples zones by their first processes. It implements kstat.Source.
type Source struct {
	list func(context.Context) ([]zone.Info, error)
	proc string
}

// New returns the source for the zones that list finds: zone.Manager.List is
// made for it. Zones without a PID are left out.
func New(list func(context.Context) ([]zone.Info, error)) *Source {
	return &Source{list: list, proc: "/proc"}
}

// Sample reads all processes once, whatever the number of zones.
func (s *Source) Sample(ctx context.Context) (kstat.Sample, error) {
	if runtime.GOOS != "linux" {
		return kstat.Sample{}, ErrUnsupported
	}
	infos, err := s.list(ctx)
	if err != nil {
		return kstat.Sample{}, fmt.Errorf("sample processes: %w", err)
	}
	all, err := s.processes(ctx)
	if err != nil {
		return kstat.Sample{}, fmt.Errorf("sample processes: %w", err)
	}
	var out kstat.Sample
	for _, info := range infos {
		if _, runs := all.byPID[info.PID]; info.PID > 0 && runs {
			cpu, resident := all.below(info.PID)
			out.Zones = append(out.Zones, kstat.Zone{Name: info.Name, ID: info.PID, CPU: cpu, Resident: &resident})
		}
	}
	slices.SortFunc(out.Zones, func(a, b kstat.Zone) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// processes is one look at all of them. Those that end meanwhile may be missing.
type processes struct {
	byPID    map[int]process
	children map[int][]int
}

func (s *Source) processes(ctx context.Context) (processes, error) {
	all := processes{byPID: make(map[int]process), children: make(map[int][]int)}
	dir, err := os.Open(s.proc)
	if err != nil {
		return all, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return all, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		data, err := os.ReadFile(filepath.Join(s.proc, name, "stat"))
		if err != nil {
			continue
		}
		if p, err := parseStat(data); err == nil {
			all.byPID[pid] = p
			all.children[p.parent] = append(all.children[p.parent], pid)
		}
	}
	return all, nil
}

// below sums a process and all that descend from it. The look at them was not
// one moment's, so a parent may seem to be its own descendant.
func (all processes) below(pid int) (cpu time.Duration, resident uint64) {
	seen, queue := map[int]bool{pid: true}, []int{pid}
	for len(queue) > 0 {
		p := all.byPID[queue[0]]
		cpu, resident = cpu+p.cpu, resident+p.resident
		for _, child := range all.children[queue[0]] {
			if !seen[child] {
				seen[child] = true
				queue = append(queue, child)
			}
		}
		queue = queue[1:]
	}
	return cpu, resident
}

// A process is what a sample needs of one.
type process struct {
	parent   int
	cpu      time.Duration
	resident uint64
}

// Fields of /proc/<pid>/stat after the comm, counted from the state, which
// proc_pid_stat(5) numbers 3.
const (
	statPPID     = 4 - 3
	statUtime    = 14 - 3 // then stime, cutime and cstime
	statCstime   = 17 - 3
	statResident = 24 - 3 // in pages
)

// tick is the unit of CPU time in /proc: USER_HZ is 100 on every architecture
// that Go runs on.
const tick = time.Second / 100

// maxTicks is how many of them a Duration holds four times over: 73 years.
const maxTicks = math.MaxInt64 / int64(tick) / 4

var errStat = errors.New("want pid (comm) state ppid ... rss")

// parseStat reads a /proc/<pid>/stat. The comm may hold anything, so it ends at
// the last closing parenthesis.
func parseStat(data []byte) (process, error) {
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return process{}, errStat
	}
	fields := bytes.Fields(data[end+1:])
	if len(fields) <= statResident {
		return process{}, errStat
	}
	parent, err := strconv.Atoi(string(fields[statPPID]))
	if err != nil {
		return process{}, errStat
	}
	p := process{parent: parent}
	for _, f := range fields[statUtime : statCstime+1] {
		ticks, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil || ticks < 0 || ticks > maxTicks {
			return process{}, errStat
		}
		p.cpu += time.Duration(ticks) * tick
	}
	pages, err := strconv.ParseUint(string(fields[statResident]), 10, 64)
	if err != nil {
		return process{}, errStat
	}
	p.resident = pages * uint64(os.Getpagesize())
	return p, nil
}
