package zone

// Plan returns the rungs that a zone in this state allows, in order. Later rungs
// are tried even if an earlier one fails. After the last rung the caller looks
// again (RungVerify): the state seen then counts, not the success of a rung. A zone
// is gone if it is Absent before and after its plan and no rung has failed between.
//
// A zone that cannot be looked at is killed and halted, which does no harm to a
// zone without processes.
//
// A zone that is shutting_down or down is halted again. That is legal, and the only
// way to continue after a halt that ended half-way (illumos zoneadm.c). Only a zone
// without processes may lose its VM, its files and its configuration.
func Plan(s State) []Rung {
	switch s {
	case Absent:
		return []Rung{RungDestroyVM, RungRelease}
	case Configured:
		return []Rung{RungDelete}
	case Incomplete, Installed:
		return []Rung{RungDestroyVM, RungUninstall}
	default: // Ready, Running, ShuttingDown, Down, Unknown
		return []Rung{RungKill, RungHalt}
	}
}

// Heavy reports whether a rung loads the host's disks, so that the number that run
// at a time is limited. Kills and halts are never delayed.
func (r Rung) Heavy() bool { return r == RungUninstall || r == RungDelete }
