package server

import (
	"time"
)

// A softRequest is a stop or a reboot that waits for the guest to shut down: its power
// button was pressed. The VM stays Running. It ends when the VM leaves that state.
type softRequest struct {
	request Request
	until   time.Time
	force   *time.Timer // when Propolis does not wait any longer; nil for never
}

// askSoftly puts a stop or a reboot to the queue once the guest has shut down, or after
// wait. Without a running guest, which has no button to press, that is at once.
func (v *VM) askSoftly(r Request, wait time.Duration) ruling {
	ruling := rule(v.standing, v.rebootQueued, r)
	was := v.soft
	switch until := time.Now().Add(wait); {
	case ruling != take || wait <= 0 || v.view.State != Running || v.busy || len(v.pending) > 0:
		return v.ask(r)
	case was == nil || was.request == Reboot && r == Stop:
		v.endSoft()
		v.soft = &softRequest{request: r}
		v.forceAt(until)
		v.Later(func() { v.s.log.Info().Msg("power button pressed") })
		v.machine.Press()
	case was.request == Stop && r == Reboot:
		return haltPending
	case until.Before(was.until):
		v.forceAt(until)
	}
	return ruling
}

func (v *VM) forceAt(until time.Time) {
	s := v.soft
	if s.force != nil {
		s.force.Stop()
	}
	s.until = until
	if v.s.defects.HangSoft {
		return
	}
	s.force = time.AfterFunc(time.Until(until), func() {
		v.Enter(func() {
			if v.soft == s {
				v.Later(func() { v.s.log.Info().Msg("guest did not shut down in time") })
				v.ask(s.request)
			}
		})
	})
}

// endSoft ends a soft request without carrying it out.
func (v *VM) endSoft() {
	if v.soft != nil && v.soft.force != nil {
		v.soft.force.Stop()
	}
	v.soft = nil
}
