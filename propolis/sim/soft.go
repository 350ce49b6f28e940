package sim

import (
	"time"
)

// A softRequest is a stop or a reboot that waits for the guest to shut down: its power
// button was pressed. The VM stays Running. It ends when the VM leaves that state.
type softRequest struct {
	request request
	until   time.Time
	// guest is when the guest obeys, force when Propolis does not wait any longer; nil
	// for never.
	guest, force *time.Timer
}

// askSoftly puts a stop or a reboot to the queue once the guest has shut down, or after
// wait. Without a running guest, which has no button to press, that is at once.
func (v *vm) askSoftly(r request, wait time.Duration) ruling {
	ruling := rule(v.standing, v.rebootQueued, r)
	was := v.soft
	switch until := time.Now().Add(wait); {
	case ruling != take || wait <= 0 || v.view.State != Running || len(v.script)+len(v.pending) > 0:
		return v.ask(r)
	case was == nil || was.request == reboot && r == stop:
		v.endSoft()
		v.soft = &softRequest{request: r}
		v.pressButton()
		v.forceAt(until)
	case was.request == stop && r == reboot:
		return haltPending
	case until.Before(was.until):
		v.forceAt(until)
	}
	return ruling
}

func (v *vm) pressButton() {
	s := v.soft
	v.s.later(func() { v.s.log.Info().Msg("power button pressed") })
	if !v.s.faults.ignoreButton {
		s.guest = v.softly(s, v.s.faults.obeyAfter, "guest has shut down")
	}
}

func (v *vm) forceAt(until time.Time) {
	s := v.soft
	if s.force != nil {
		s.force.Stop()
	}
	s.until = until
	if !v.s.faults.hangSoft {
		s.force = v.softly(s, time.Until(until), "guest did not shut down in time")
	}
}

// softly carries a soft request out after a while, unless it has ended.
func (v *vm) softly(s *softRequest, after time.Duration, why string) *time.Timer {
	return time.AfterFunc(after, func() {
		v.s.lock()
		defer v.s.unlock()
		if v.soft != s {
			return
		}
		v.s.later(func() { v.s.log.Info().Msg(why) })
		v.ask(s.request)
	})
}

// endSoft ends a soft request without carrying it out.
func (v *vm) endSoft() {
	if v.soft == nil {
		return
	}
	for _, t := range []*time.Timer{v.soft.guest, v.soft.force} {
		if t != nil {
			t.Stop()
		}
	}
	v.soft = nil
}
