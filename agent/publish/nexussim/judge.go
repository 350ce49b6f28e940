package nexussim

import (
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxHistory is the number of distinct records kept per VMM. A VMM sends a few dozen;
// the limit is for a faulty sled.
const maxHistory = 1024

// arrive stores a record and returns the rules that it breaks. It compares with all
// records sent before, also those that a fault kept from being stored: Nexus may have
// received them.
func (r *Row) arrive(rec vmm.Record, at time.Time) []Violation {
	if i := r.find(rec); i >= 0 {
		r.History[i].Times++
		return nil
	}
	var broken []Violation
	if !slices.ContainsFunc(r.History, func(s Seen) bool { return leavesOut(rec, s.Record) || leavesOut(s.Record, rec) }) {
		broken = r.judge(rec)
	}
	r.History = append(r.History, Seen{State: rec.VMM.State, Gen: rec.VMM.Gen, At: at, Times: 1, Record: rec})
	if len(r.History) > maxHistory {
		r.History = slices.Delete(r.History, 0, len(r.History)-maxHistory)
	}
	return broken
}

func (r *Row) judge(rec vmm.Record) (broken []Violation) {
	report := func(rule Rule, format string, args ...any) {
		broken = append(broken, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
	says := describe(rec.VMM)
	if i := slices.IndexFunc(r.History, func(s Seen) bool { return s.Gen == rec.VMM.Gen }); i >= 0 {
		report(SameGenOtherBody, "%s was sent before as %s with other content", says, describe(r.History[i].Record.VMM))
	} else if rec.VMM.Gen < r.Acked {
		report(GenBackwards, "%s is new and older than gen %d, which was acknowledged", says, r.Acked)
	}
	if i := slices.IndexFunc(r.History, func(s Seen) bool { return s.State.Terminal() }); i >= 0 {
		rule := AfterTerminal
		if rec.VMM.State.Terminal() {
			rule = SecondTerminal
		}
		report(rule, "%s was sent after %s", says, describe(r.History[i].Record.VMM))
	}
	return broken
}

// acknowledge records that rec was acknowledged.
func (r *Row) acknowledge(rec vmm.Record, at time.Time) {
	r.Acked = max(r.Acked, rec.VMM.Gen)
	if i := r.find(rec); i >= 0 && r.History[i].AckedAt == nil {
		r.History[i].AckedAt = &at
	}
}

// find searches from the end, since repeats are mostly of the latest record.
func (r *Row) find(rec vmm.Record) int {
	for i, put := range slices.Backward(r.History) {
		if sameRecord(put.Record, rec) {
			return i
		}
	}
	return -1
}

func describe(r vmm.Runtime) string { return fmt.Sprintf("%s (gen %d)", r.State, r.Gen) }

// sameRecord compares two records; equal times are the same instant.
func sameRecord(a, b vmm.Record) bool {
	return a.VMM.State == b.VMM.State && a.VMM.Gen == b.VMM.Gen && a.VMM.Updated.Equal(b.VMM.Updated) &&
		sameMigration(a.MigrationIn, b.MigrationIn) && sameMigration(a.MigrationOut, b.MigrationOut)
}

// leavesOut reports whether rec is full without some of its migrations. That is no
// contradiction: a null migration is no update, and a record that Nexus refuses for its
// migrations may be sent without them, and with them again by the sled's next process.
func leavesOut(rec, full vmm.Record) bool {
	if rec.MigrationIn == nil {
		full.MigrationIn = nil
	}
	if rec.MigrationOut == nil {
		full.MigrationOut = nil
	}
	return sameRecord(rec, full)
}

func sameMigration(a, b *vmm.Migration) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.State == b.State && a.Gen == b.Gen && a.Updated.Equal(b.Updated)
}
