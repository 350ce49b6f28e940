package demo

import (
	"fmt"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// lateness is how much later than its deadline a forced removal may begin.
const lateness = time.Second

// A breach is a promise that was not kept.
type breach struct {
	// promise is the letter of the promise; see the project's design.
	promise string
	text    string
}

// judge returns every promise that was broken for a VMM whose stop had so much
// time; none means that all were kept.
func (f facts) judge(grace time.Duration) []breach {
	if f.refusal != "" {
		return []breach{{"D", "the stop was not accepted: " + f.refusal}}
	}
	var out []breach
	broken := func(promise, format string, args ...any) {
		out = append(out, breach{promise, fmt.Sprintf(format, args...)})
	}
	f.judgeDeadline(grace, broken)
	if f.dead.IsZero() {
		broken("Z", "process %d of its zone still runs", f.pid)
	}
	for _, thing := range f.left {
		broken("Z", "%s is left behind", thing)
	}
	if state := f.row.State(); state != vmm.WireDestroyed {
		broken("T", "Nexus holds it for %q, not destroyed", state)
	}
	for _, v := range f.violations {
		broken("T", "Nexus was told contradictions: %s", v.Text)
	}
	switch {
	case f.forgotten.IsZero():
		broken("L", "the agent has not let go of it")
	case !f.atNexus.Terminal():
		broken("N", "the agent disowned it while Nexus held it for %q", f.atNexus)
	}
	return out
}

// judgeDeadline compares the removal with the deadline in the way that favours
// neither: the stop was accepted somewhere between sent and answered.
func (f facts) judgeDeadline(grace time.Duration, broken func(promise, format string, args ...any)) {
	if f.lost > 0 {
		broken("S", "%d events were lost, so that its times are not proven", f.lost)
	}
	removal := f.timeline().removal
	if removal == nil {
		broken("D", "no removal was reported")
		return
	}
	if latest := f.answered.Sub(f.sent) + grace + lateness; *removal > latest {
		broken("D", "the removal began %s after the stop, %s was the limit", seconds(*removal), seconds(latest))
	}
	if !f.role.stubborn {
		return
	}
	if *removal < grace {
		broken("D", "the removal began after %s, before its %s were over", seconds(*removal), seconds(grace))
	}
	if !f.dead.IsZero() && f.dead.Sub(f.sent) < grace {
		broken("D", "its process died after %s, before its %s were over", seconds(f.dead.Sub(f.sent)), seconds(grace))
	}
}
