package zone

// Plan returns the rungs that a zone in this state allows, in order. Each checks itself
// whether the zone is in the state that it needs. After the last rung the caller looks
// again (RungVerify): the state seen then counts, not the success of a rung.
//
// A zone without processes is removed in one round: nobody else changes it, so that looks
// between the rungs would show what they have just done. It is gone if it is Absent after
// a round in which no rung has failed.
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
		return []Rung{RungDestroyVM, RungDelete, RungRelease}
	case Incomplete, Installed:
		return []Rung{RungDestroyVM, RungUninstall, RungDelete, RungRelease}
	default: // Ready, Running, ShuttingDown, Down, Unknown
		return []Rung{RungKill, RungHalt}
	}
}

// needed reports whether the later rungs of a plan need this one's success. The others are
// tried all the same: where signals are refused, a halt may work.
func (r Rung) needed() bool { return r == RungUninstall || r == RungDelete }

// Heavy reports whether a rung loads the host's disks, so that the number that run
// at a time is limited. Kills and halts are never delayed.
func (r Rung) Heavy() bool { return r == RungUninstall || r == RungDelete }
