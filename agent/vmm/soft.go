package vmm

import "time"

// SoftMargin is the least time from the end of a soft stop's or reboot's time, when
// Propolis begins to force it, to the deadline, at which the zone is removed: a forced
// stop waits for devices, and an orderly end is better than a removal.
const SoftMargin = 30 * time.Second

// clampSoft returns the time that a guest is given to power off, at most the maximum
// grace.
func (l Limits) clampSoft(soft time.Duration) time.Duration {
	return min(max(soft, 0), l.MaxStopGrace)
}

// Pressed is clampSoft if Propolis can press a guest's power button, else zero: then a
// soft stop is a stop, and a soft reboot a reboot.
func (l Limits) Pressed(soft time.Duration) time.Duration {
	if !l.SoftStop {
		return 0
	}
	return l.clampSoft(soft)
}

// Grace returns what a stop is granted. Without a grace of its own it has the default,
// or the soft time and a margin if that is more; never more than the maximum.
func (l Limits) Grace(in Stop) time.Duration {
	if in.Grace != nil {
		return min(max(*in.Grace, 0), l.MaxStopGrace)
	}
	least := l.StopGrace
	if in.Soft > 0 {
		least = max(least, l.clampSoft(in.Soft)+SoftMargin)
	}
	return min(least, l.MaxStopGrace)
}

// rebootGrace returns what a reboot is granted that gives the guest this time to shut
// down.
func (l Limits) rebootGrace(soft time.Duration) time.Duration {
	if soft <= 0 {
		return l.RebootTimeout
	}
	return max(l.RebootTimeout, soft+SoftMargin)
}

func (c *step) armReboot(soft time.Duration) {
	c.s.RebootGrace = c.s.Limits.rebootGrace(soft)
	c.arm(ForReboot, c.now.Add(c.s.RebootGrace))
}

// SoftUntil returns when Propolis stops the guest by force, if it has not powered off by
// then. It is calculated from the deadline, which keeps its time over restarts. Unless
// the pending stop is soft, it has passed.
func (s *State) SoftUntil() time.Time {
	return s.Armed.At.Add(s.Stop.Soft - s.Stop.Grace)
}

// askStop returns the pending stop as a request to Propolis.
func (s *State) askStop() Ask {
	ask := Ask{Action: AskStop}
	if s.Stop.Soft > 0 {
		ask.Until = s.SoftUntil()
	}
	return ask
}

// sooner reports whether a stop with this soft time ends the guest before the pending one
// does.
func (c *step) sooner(soft time.Duration) bool {
	return soft == 0 && c.s.Stop.Soft > 0 || c.now.Add(soft).Before(c.s.SoftUntil())
}
