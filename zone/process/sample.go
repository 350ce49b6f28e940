package process

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/stats"
)

// Sample implements stats.Source, on Linux only. A zone's CPU time is that of its
// first process and all descendants, including children that have ended and were
// waited for, so it does not fall when a process ends. Its memory is the sum of the
// processes' resident memory; a shared page counts once for each process.
func (m *Manager) Sample(ctx context.Context) (stats.Sample, error) {
	if runtime.GOOS != "linux" {
		return stats.Sample{}, fmt.Errorf("sample processes: %w", proc.ErrUnsupported)
	}
	infos, err := m.List(ctx)
	if err != nil {
		return stats.Sample{}, fmt.Errorf("sample processes: %w", err)
	}
	all, err := proc.All()
	if err != nil {
		return stats.Sample{}, fmt.Errorf("sample processes: %w", err)
	}
	return sample(infos, all), nil
}

func sample(infos []zone.Info, all []proc.Info) stats.Sample {
	children := make(map[int][]proc.Info, len(all))
	byPID := make(map[int]proc.Info, len(all))
	for _, p := range all {
		byPID[p.PID] = p
		children[p.PPID] = append(children[p.PPID], p)
	}
	var s stats.Sample
	for _, info := range infos {
		if first, runs := byPID[info.PID]; runs && info.PID > 0 {
			cpu, resident := used(first, children)
			s.Zones = append(s.Zones, stats.Zone{Name: info.Name, ID: info.PID, CPU: cpu, Resident: &resident})
		}
	}
	slices.SortFunc(s.Zones, func(a, b stats.Zone) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// used sums a process and all its descendants. The processes were not read at one
// moment, so a process may seem to be its own descendant.
func used(first proc.Info, children map[int][]proc.Info) (cpu time.Duration, resident uint64) {
	seen, queue := map[int]bool{first.PID: true}, []proc.Info{first}
	for ; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		cpu, resident = cpu+p.CPU, resident+p.Resident
		for _, child := range children[p.PID] {
			if !seen[child.PID] {
				seen[child.PID] = true
				queue = append(queue, child)
			}
		}
	}
	return cpu, resident
}
