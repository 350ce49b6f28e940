package runner

import (
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// measure counts and times what a step has brought about.
func (r *Runner) measure(in vmm.Input, was, is vmm.State) {
	if was.Phase < vmm.Removing && is.Phase >= vmm.Removing && is.Stop != nil {
		r.host.Meter.GraceUsed(time.Since(is.Stop.Requested))
	}
	if was.Phase < vmm.Ended && is.Phase >= vmm.Ended {
		by := vmm.Who("")
		if is.Stop != nil {
			by = is.Stop.By
		}
		r.host.Meter.Ended(is.Outcome, by, forced(is))
	}
	if p, ok := in.(vmm.Published); ok && p.Heard == vmm.HeardAck && r.changed(was.Record.VMM, p.Gen) {
		r.host.Meter.Published(time.Since(was.Record.VMM.Updated))
	}
}

// changed reports whether a generation is that of the newest record and of a change in this
// process. What an earlier process has published is published again.
func (r *Runner) changed(now vmm.Runtime, gen uint64) bool {
	return now.Gen == gen && !now.Updated.Before(r.begun)
}
