package proc

import (
	"errors"
	"syscall"
)

// maxPasses bounds how often one KillTree looks for processes that were forked
// while it killed: a tree that forks faster than that is left to the next call.
const maxPasses = 64

// Descendants returns the processes below root, root itself left out, and
// those for which also holds. Ended ones are left out.
func Descendants(all []Info, root ID, also func(Info) bool) []Info {
	children := make(map[int][]Info, len(all))
	in := make(map[int]bool)
	var found []Info
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
		if !p.Ended() && also != nil && also(p) {
			take(p)
		}
	}
	for i := 0; i < len(found); i++ {
		for _, p := range children[found[i].PID] {
			take(p)
		}
	}
	live := found[:0]
	for _, p := range found {
		if !p.Ended() {
			live = append(live, p)
		}
	}
	return live
}

// KillTree kills every descendant of root and every process for which also
// holds, again and again until it finds none that it has not killed. It does
// not kill root and does not wait for anybody's end. While root lives and is a
// Subreaper (or stopped), nothing that stays a descendant escapes it.
func KillTree(root ID, also func(Info) bool) error {
	killed := make(map[ID]bool)
	for range maxPasses {
		all, err := All()
		if err != nil {
			return err
		}
		fresh := 0
		for _, p := range Descendants(all, root, also) {
			if killed[p.ID] {
				continue
			}
			fresh++
			killed[p.ID] = true
			if err := Kill(p.ID); err != nil {
				return err
			}
		}
		if fresh == 0 {
			return nil
		}
	}
	return nil
}

// Kill sends SIGKILL to one process; that it is gone is success.
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
