package nexussim

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxHistory bounds how many distinct records are remembered per VMM. A VMM
// sends a few dozen in its life; the bound is for a sled gone wild.
const maxHistory = 1024

// A life is all that a sled has said of one VMM, in the order of arrival.
type life struct {
	seen []Seen
	// acked is the greatest generation that was acknowledged.
	acked uint64
}

// arrive notes a record and returns the rules that it breaks. It judges by what
// was said before, whether or not a fault kept that from being stored: a sled
// must not say two things of which Nexus may have heard both.
func (l *life) arrive(rec vmm.Record, at time.Time) []Violation {
	if i := l.find(rec); i >= 0 {
		l.seen[i].Times++
		return nil
	}
	broken := l.judge(rec)
	l.seen = append(l.seen, Seen{State: rec.VMM.State, Gen: rec.VMM.Gen, At: at, Times: 1, Record: rec})
	if len(l.seen) > maxHistory {
		l.seen = slices.Delete(l.seen, 0, len(l.seen)-maxHistory)
	}
	return broken
}

func (l *life) judge(rec vmm.Record) (broken []Violation) {
	report := func(rule Rule, format string, args ...any) {
		broken = append(broken, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
	says := describe(rec.VMM)
	if i := slices.IndexFunc(l.seen, func(s Seen) bool { return s.Gen == rec.VMM.Gen }); i >= 0 {
		report(SameGenOtherBody, "%s was sent before as %s with other content", says, describe(l.seen[i].Record.VMM))
	} else if rec.VMM.Gen < l.acked {
		report(GenBackwards, "%s is new and older than gen %d, which was acknowledged", says, l.acked)
	}
	if i := slices.IndexFunc(l.seen, func(s Seen) bool { return s.State.Terminal() }); i >= 0 {
		rule := AfterTerminal
		if rec.VMM.State.Terminal() {
			rule = SecondTerminal
		}
		report(rule, "%s was sent after %s", says, describe(l.seen[i].Record.VMM))
	}
	return broken
}

// acknowledge notes that the sled was told that rec is stored.
func (l *life) acknowledge(rec vmm.Record, at time.Time) {
	l.acked = max(l.acked, rec.VMM.Gen)
	if i := l.find(rec); i >= 0 && l.seen[i].AckedAt == nil {
		l.seen[i].AckedAt = &at
	}
}

// find searches from the end: what is sent again is mostly the latest.
func (l *life) find(rec vmm.Record) int {
	for i := len(l.seen) - 1; i >= 0; i-- {
		if sameRecord(l.seen[i].Record, rec) {
			return i
		}
	}
	return -1
}

func describe(r vmm.Runtime) string { return fmt.Sprintf("%s (gen %d)", r.State, r.Gen) }

// sameRecord compares what two records say: times as instants, not as texts.
func sameRecord(a, b vmm.Record) bool {
	return a.VMM.State == b.VMM.State && a.VMM.Gen == b.VMM.Gen && a.VMM.Updated.Equal(b.VMM.Updated) &&
		sameMigration(a.MigrationIn, b.MigrationIn) && sameMigration(a.MigrationOut, b.MigrationOut)
}

func sameMigration(a, b *vmm.Migration) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.State == b.State && a.Gen == b.Gen && a.Updated.Equal(b.Updated)
}

// stamp fills in which PUT broke a rule.
func stamp(vs []Violation, seq uint64, at time.Time, id uuid.UUID) []Violation {
	for i := range vs {
		vs[i].Seq, vs[i].At, vs[i].VMM = seq, at, id
	}
	return vs
}
