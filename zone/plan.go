package zone

// Plan says which rungs a zone in this state allows, in order. After the last
// of them, or the first that fails, the caller looks again (RungVerify): the
// state that is listed afterwards is the truth, not the success of a rung. A
// zone that is Absent before its plan and after it is gone.
//
// A zone that is shutting_down or down is halted again: that is legal, and the
// only way forward when the first halt died half-way (illumos zoneadm.c). Only
// a zone with no processes may lose its VM, its files and its configuration.
func Plan(s State) []Rung {
	switch s {
	case Absent:
		return []Rung{RungDestroyVM, RungRelease}
	case Configured:
		return []Rung{RungDelete}
	case Incomplete, Installed:
		return []Rung{RungDestroyVM, RungUninstall}
	default: // Ready, Running, ShuttingDown, Down and what a newer host may name
		return []Rung{RungKill, RungHalt}
	}
}

// Heavy tells whether a rung loads the host's disks, so that only so many of
// them may run at a time. Killing and halting are never held back.
func (r Rung) Heavy() bool { return r == RungUninstall || r == RungDelete }
