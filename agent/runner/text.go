package runner

import (
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/plain"
)

// maxText bounds a text that is remembered of a VMM, in bytes. A server's log, of
// which tailSize bytes are kept, is the longest that is of use.
const maxText = tailSize

// Clean is clean for others that show texts of commands.
func Clean(text string) string { return clean(text) }

// clean makes a text safe to keep, log and show. Errors and reasons contain output
// of commands, servers and files of zones: it is cut, and characters that could
// control a terminal or reorder a line are replaced. Line breaks stay.
func clean(text string) string { return plain.Text(text, maxText) }

// cleaned is an input with its reason clean: it goes into the state, and from
// there into the ledger.
func cleaned(in vmm.Input) vmm.Input {
	switch in := in.(type) {
	case vmm.StartFailed:
		in.Why = clean(in.Why)
		return in
	case vmm.Lost:
		in.Why = clean(in.Why)
		return in
	case vmm.Applied:
		in.Why = clean(in.Why)
		return in
	case vmm.Unsure:
		in.Why = clean(in.Why)
		return in
	case vmm.ZoneChanged:
		in.How = clean(in.How)
		return in
	case vmm.ZoneEnded:
		in.Why = clean(in.Why)
		return in
	case vmm.Published:
		in.Why = clean(in.Why)
		return in
	}
	return in
}
