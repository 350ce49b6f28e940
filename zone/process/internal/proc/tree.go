package proc

import (
	"errors"
	"slices"
	"syscall"
)

// maxPasses bounds how often one KillTree looks for processes that were forked
// meanwhile. The rest of a tree that forks faster is left to the next call.
const maxPasses = 64

// Descendants returns the descendants of root, the processes for which also returns
// true and their descendants. Root itself and processes that have ended are left out.
// After an error from also it still returns the others.
func Descendants(all []Info, root ID, also func(Info) (bool, error)) ([]Info, error) {
	children := make(map[int][]Info, len(all))
	in := make(map[int]bool)
	var found []Info
	var errs []error
	rooted := false
	for _, p := range all {
		children[p.PPID] = append(children[p.PPID], p)
		rooted = rooted || p.ID == root
	}
	take := func(p Info) {
		if in[p.PID] || p.ID == root {
			return
		}
		in[p.PID] = true
		found = append(found, p)
	}
	if rooted {
		for _, p := range children[root.PID] {
			take(p)
		}
	}
	for _, p := range all {
		if p.Ended() || also == nil {
			continue
		}
		is, err := also(p)
		if is {
			take(p)
		} else if err != nil && !errors.Is(err, ErrGone) {
			errs = append(errs, err)
		}
	}
	for i := 0; i < len(found); i++ {
		for _, p := range children[found[i].PID] {
			take(p)
		}
	}
	found = slices.DeleteFunc(found, Info.Ended)
	return found, first(errs)
}

// first returns the first of the errors. There may be one for each process of the
// host.
func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// KillTree kills all Descendants and repeats that until it finds none that it has not
// killed. It neither kills root nor waits for processes to end. While root is alive and
// a Subreaper, or stopped, no process that stays a descendant escapes. It continues
// after a process that it cannot kill or look at.
func KillTree(root ID, also func(Info) (bool, error)) error {
	killed := make(map[ID]bool)
	var errs []error
	for range maxPasses {
		all, err := All()
		if err != nil {
			return errors.Join(first(errs), err)
		}
		found, unsure := Descendants(all, root, also)
		fresh := 0
		for _, p := range found {
			if killed[p.ID] {
				continue
			}
			fresh++
			killed[p.ID] = true
			if err := Kill(p.ID); err != nil {
				errs = append(errs, err)
			}
		}
		if fresh == 0 {
			return errors.Join(first(errs), unsure)
		}
	}
	return first(errs)
}

// Kill sends SIGKILL to one process. It succeeds if the process is gone.
func Kill(id ID) error {
	h, err := Open(id)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
		return err
	}
	return nil
}
