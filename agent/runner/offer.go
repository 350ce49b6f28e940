package runner

import (
	"context"
	"net/http"

	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/vmm"
)

// offer offers the newest visible record to Nexus, once; if its generation is
// bareGen, without its migrations.
func (r *Runner) offer(ctx context.Context, bareGen uint64, tell func(report)) {
	record := r.view.Load().state.Record
	bare := record.VMM.Gen == bareGen
	if bare {
		record.MigrationIn, record.MigrationOut = nil, nil
	}
	a := r.host.Nexus.Put(ctx, r.id, record)
	if ctx.Err() != nil && a.Verdict != publish.Acked {
		return // it was disowned, or the agent exits
	}
	in := vmm.Published{Gen: record.VMM.Gen, Heard: heard(a), Bare: bare}
	if a.Err != nil {
		in.Why = a.Err.Error()
	}
	tell(report{in: in})
}

func heard(a publish.Answer) vmm.Heard {
	switch {
	case a.Verdict == publish.Acked:
		return vmm.HeardAck
	case a.Verdict == publish.Unknown:
		return vmm.HeardUnknown
	case a.Verdict == publish.Refused:
		return vmm.HeardRefused
	case a.Status == http.StatusInternalServerError:
		return vmm.HeardError
	}
	return vmm.HeardNothing
}
