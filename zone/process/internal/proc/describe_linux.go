package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// maxThreads and maxFiles bound what is described of one process.
	maxThreads = 256
	maxFiles   = 1024
	// maxStack bounds the kernel stack of a thread, maxTarget the name of an open file,
	// in bytes. The kernel's own limits are 64 lines and a page.
	maxStack  = 8 << 10
	maxTarget = 4 << 10
)

// Tree returns the pids of a process and its descendants, parents first, and at most most
// of them. It reads only what belongs to them, so that its cost does not grow with the
// number of the host's processes. The error is ErrGone if there is no such process.
func Tree(root ID, most int) ([]int, error) {
	pids := []int{root.PID}
	for i := 0; i < len(pids) && len(pids) < most; i++ {
		// A kernel without CONFIG_PROC_CHILDREN has no such files.
		lists, _ := filepath.Glob(fmt.Sprintf("%s/%d/task/[0-9]*/children", procDir, pids[i]))
		for _, list := range lists {
			children, _ := os.ReadFile(list)
			for child := range strings.FieldsSeq(string(children)) {
				if pid, err := strconv.Atoi(child); err == nil && len(pids) < most && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		}
	}
	// Since it is alive now, the processes found are its own.
	if alive, err := Alive(root); err != nil || !alive {
		return nil, errors.Join(err, ErrGone)
	}
	return pids, nil
}

// Stacks describes where in the kernel each thread of the processes is: its state, the
// function that it waits in and, for root alone, its kernel stack.
func Stacks(pids []int) ([]byte, error) {
	var out strings.Builder
	var hidden error
	for _, pid := range pids {
		threads, _ := entries(pid, "task", maxThreads)
		for _, thread := range threads {
			dir := filepath.Join("task", thread)
			stat, err := readFile(procDir, pid, filepath.Join(dir, "stat"))
			if err != nil {
				continue // it has ended
			}
			info, err := ParseStat(stat)
			if err != nil {
				continue
			}
			where, _ := readFile(procDir, pid, filepath.Join(dir, "wchan"))
			fmt.Fprintf(&out, "process %d, thread %s (%s), state %c, waits in %s\n", pid, thread, plain.Line(info.Comm, 64),
				info.State, plain.Line(string(where), 128))
			stack, err := readFile(procDir, pid, filepath.Join(dir, "stack"))
			if err != nil && !errors.Is(err, ErrGone) {
				hidden = fmt.Errorf("read kernel stacks: %w", err)
			}
			out.WriteString(plain.Text(string(stack), maxStack))
		}
	}
	return []byte(out.String()), hidden
}

// Files describes the files that the processes have open.
func Files(pids []int) ([]byte, error) {
	var out strings.Builder
	var hidden error
	for _, pid := range pids {
		fmt.Fprintf(&out, "process %d\n", pid)
		all, err := entries(pid, "fd", maxFiles)
		if err != nil && !errors.Is(err, ErrGone) {
			hidden = fmt.Errorf("list open files: %w", err)
		}
		for _, fd := range all {
			target, err := os.Readlink(filepath.Join(procDir, strconv.Itoa(pid), "fd", fd))
			if err == nil { // else it was closed
				fmt.Fprintf(&out, "%8s %s\n", fd, plain.Line(target, maxTarget))
			}
		}
	}
	return []byte(out.String()), hidden
}

// entries returns the names in a directory of a process in numerical order, at most most
// of them.
func entries(pid int, name string, most int) ([]string, error) {
	dir, err := os.Open(filepath.Join(procDir, strconv.Itoa(pid), name))
	if err != nil {
		return nil, ofProcess(pid, err)
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(most)
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, nil
}
